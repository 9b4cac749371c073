import { describePackage } from '@iomap/tools/testing';

describePackage(__dirname, { entries: ['./testing'] });
