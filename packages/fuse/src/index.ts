export { FuseInHeader, FuseInitIn, FuseInitOut, FuseOutHeader } from './abi.js';
export { Channel, REPLY_AT, REQUEST_AT } from './channel.js';
export { handle } from './dispatch.js';
export { FS_TYPE, mountAt, parseMountInfo, type MountEntry } from './mountpoint.js';
export { checkOptions, parseMountOptions, serveOptionsSchema, type ServeOptions, type ServeOptionsInput } from './options.js';
export { NO_REPLY, Session } from './session.js';
export { serverOf, startServer, unmount, type StartedServer, type StartRequest } from './start.js';
