export { assert, AssertionError } from './assert.js';
export { fixedEnv, systemEnv, type Env, type Timespec } from './env.js';
export {
  corrupt,
  errnoOf,
  fsCodeOf,
  FsError,
  isCode,
  unsupported,
  withContext,
  type FsCode,
  type FsErrorDetail,
  type FsErrorInit,
} from './error.js';
export { Mutex, RwLock, type LockName } from './lock.js';
export { LOCK_RANKS, LockOrder, lockOrder, type LockRank, type RankedLock } from './lock-order.js';
export {
  IO_OK,
  type BatchRequest,
  type Bio,
  type BioOp,
  type BioRequest,
  type BioTarget,
  type Io,
  type IoRequest,
  type IoResult,
  type SpawnRequest,
  type TaskHandle,
  type WaitRequest,
} from './request.js';
export { SeededRandom } from './random.js';
export { runAsync } from './run-async.js';
export { runSync } from './run-sync.js';
export { runTasks, Scheduler } from './scheduler.js';
export { ask, submit, submitAll, submitBio, submitDetached, withFirst } from './submit.js';
export { concurrently, spawn, Task, type TaskState } from './task.js';
export {
  divCeil,
  divFloor,
  fileBlock,
  fsBlock,
  ino,
  isPowerOfTwo,
  roundDown,
  roundUp,
  type FileBlock,
  type FsBlock,
  type Ino,
  type Unit,
} from './units.js';
export { WaitQueue } from './wait-queue.js';
