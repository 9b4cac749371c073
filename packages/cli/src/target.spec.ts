import { UsageError } from './errors.js';
import { parseEither, parseImage, parseInside, parseWhole } from './target.js';

const having = (...paths: string[]) => (path: string): boolean => paths.includes(path);

describe('targets', () => {
  it('divides image, partition and path', () => {
    const exists = having('disk.img');
    expect(parseImage('disk.img', exists)).toMatchObject({ image: 'disk.img', partition: undefined, path: undefined });
    expect(parseImage('disk.img@2', exists)).toMatchObject({ image: 'disk.img', partition: 2, label: 'disk.img@2' });
    expect(parseImage('disk.img:/a/b', exists)).toMatchObject({ image: 'disk.img', path: '/a/b' });
    expect(parseImage('disk.img@12:/a:b', exists)).toMatchObject({ image: 'disk.img', partition: 12, path: '/a:b' });
    expect(parseImage('disk.img:', exists)).toMatchObject({ image: 'disk.img', path: '/' });
  });

  it('lets the longest existing host name win', () => {
    expect(parseImage('a:/b', having('a:/b', 'a'))).toMatchObject({ image: 'a:/b', path: undefined });
    expect(parseImage('a:/b:/c', having('a:/b', 'a'))).toMatchObject({ image: 'a:/b', path: '/c' });
    expect(parseImage('a:/b:/c', having('a'))).toMatchObject({ image: 'a', path: '/b:/c' });
    expect(parseImage('a@2', having('a@2', 'a'))).toMatchObject({ image: 'a@2', partition: undefined });
    expect(parseImage('a@2@1:/x', having('a@2', 'a'))).toMatchObject({ image: 'a@2', partition: 1, path: '/x' });
  });

  it('divides at the first colon when nothing exists, so that the error names the image', () => {
    expect(parseImage('none.img@3:/a:/b', having())).toMatchObject({ image: 'none.img', partition: 3, path: '/a:/b' });
  });

  it('turns a path into bytes', () => {
    expect(parseInside('i:/ä', false, having('i')).path).toBe('/Ã¤');
  });

  it('says what is missing or too much', () => {
    expect(() => parseInside('i', false, having('i'))).toThrow(UsageError);
    expect(parseInside('i', true, having('i')).path).toBe('/');
    expect(() => parseWhole('i:/x', having('i'))).toThrow(UsageError);
    expect(() => parseImage('', having())).toThrow(UsageError);
    expect(() => parseImage('https://host/disk.img', having())).toThrow('ENOTSUP');
  });

  it('tells host paths from image paths', () => {
    expect(parseEither('plain', having('i'))).toBeUndefined();
    expect(parseEither('i:/x', having('i:/x', 'i'))).toBeUndefined();
    expect(parseEither('i:/x', having('i'))).toMatchObject({ image: 'i', path: '/x' });
    expect(parseEither('i', having('i'))).toBeUndefined();
  });
});
