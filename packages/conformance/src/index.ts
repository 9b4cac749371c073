export { mountOptionsOf, structuresBy, summaryOf } from './driver.js';
export type {
  CheckSummary,
  DriverUnderTest,
  FormatOptions,
  MountOptions,
  StructureField,
  StructurePlace,
} from './driver.js';
export { runCrashes, type CrashResult, type CrashSlice, type CrashSubject } from './crash.js';
export { describeFsTree, listDirectory, modeOfType, typeOfMode, type DirEntry, type FsTreeOptions } from './fs-tree.js';
export { generateOps, OpGenerator, PROFILES, type Profile } from './generate.js';
export { describeHostTree, parseGetfattr, type HostTreeOptions } from './host-tree.js';
export { imageDevice, type ImageDevice, type ImageDeviceOptions } from './image-device.js';
export { describeWithOracle, testGlobals } from './jest.js';
export { loopMount, sweepStaleMounts, unmountAll, withLoopMount, type LoopMountOptions } from './loop-mount.js';
export { diffKernelLists, LIST_SCRIPT, listLikeKernel, parseKernelList, type KernelList } from './kernel-list.js';
export { findVm, runInKernel, type VmJob, type VmResult } from './kernel-vm.js';
export { Model, type FormatLimits, type ModelEntry, type ModelNode, type ModelOptions } from './model.js';
export { nodeFsSubject, type NodeFsSubjectOptions, type SyncFs } from './node-fs-subject.js';
export {
  OK,
  poolBytes,
  sameOutcome,
  showOutcome,
  statLine,
  type Op,
  type OpKind,
  type Outcome,
  type Subject,
  type XattrMode,
} from './op.js';
export {
  provideCommand,
  canLoopMount,
  findOracle,
  isRoot,
  missingOracles,
  oracle,
  runTool,
  type Oracle,
  type OracleName,
  type OracleRun,
  type OracleRunOptions,
} from './oracle.js';
export { random, type Random } from './random.js';
export { removeScratch, scratchDir, withImageFile, writeImage } from './scratch.js';
export { shrink } from './shrink.js';
export {
  assertTreesEqual,
  ContentHash,
  diffTrees,
  fromName,
  linkGroups,
  showName,
  toName,
  without,
  type DiffOptions,
  type Tree,
  type TreeNode,
  type TreeTime,
} from './tree.js';
export { modelOf, runWorkload, WorkloadFailure, type WorkloadHost, type WorkloadOptions, type WorkloadReport } from './workload.js';
export { fieldsOf, mutateImage, MUTATION_KINDS, type MutateOptions, type Mutation, type MutationKind } from './mutate.js';
export {
  exerciseFs,
  judgeImage,
  runHostile,
  vandalizeFs,
  type Disagreement,
  type HostileBase,
  type HostileFailure,
  type HostileOptions,
  type HostileReport,
  type Verdict,
} from './hostile.js';
export { imageHost, type ImageHost, type ImageHostOptions } from './image-host.js';
export { vfsSubject, type VfsSubject, type VfsSubjectOptions } from './vfs-subject.js';
export { makeFragmentedFiles, makeSampleTree, type SampleTreeOptions } from './sample-tree.js';
export {
  fails,
  FILE_SYSTEM_CASES,
  put,
  take,
  type CaseLimits,
  type CaseWorld,
  type FileSystemCase,
} from './suites/file-system-cases.js';
export { fileSystemSuite, type FileSystemMatrix, type SuiteFormat } from './suites/file-system-suite.js';
export { imageMatrixSuite, type ImageFormat, type ImageMatrix } from './suites/image-matrix-suite.js';
export { readbackSuite, readTree, type ReadbackFormat, type ReadbackOptions } from './suites/readback-suite.js';
export {
  FsxFailure, FSX_WEIGHTS, fsxSlice, replayFsx, runFsx, type FsxKind, type FsxOp, type FsxOptions, type FsxSliceOptions, type FsxSliceResult,
  type FsxSubject,
} from './fsx.js';
export { vfsFsxSubject, type VfsFsxOptions } from './fsx-vfs.js';
