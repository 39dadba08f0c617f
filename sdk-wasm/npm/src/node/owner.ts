// Who owns a data folder: one process at a time. The operating system lets go of what is taken here when the process
// ends in whatever way, and nothing of it stands in the folder, which may stay untouched until the person decides.

import { createHash } from 'node:crypto';
import { constants, closeSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const taken = (path: string) => Error(`dataDir is in use: another client of this project has ${path}`);

/** Opens a file that only one process can have open; the flag is that of macOS and the BSDs. */
const openAlone = (path: string) => {
  const O_EXLOCK = 0x20;
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK | O_EXLOCK, 0o600);
  return () => closeSync(fd);
};

/** Listens at an address that is no file: in Linux's abstract namespace, or a pipe of Windows'. */
const listen = (address: string) =>
  new Promise<() => void>((done, fail) => {
    const server = createServer((socket) => socket.destroy());
    server.once('error', fail);
    server.listen({ path: address, exclusive: true }, () => done(() => void server.close()));
    server.unref();
  });

/** Takes a folder, by its path without links. Gives out what lets go of it; throws if somebody else has it. */
export const own = async (path: string) => {
  const name = 'refrain-' + createHash('sha256').update(path).digest('hex').slice(0, 32);
  try {
    if (process.platform == 'win32') return await listen('\\\\.\\pipe\\' + name);
    if (['linux', 'android'].includes(process.platform)) return await listen('\0' + name);
    return openAlone(join(tmpdir(), name));
  } catch (error: any) {
    if (['EADDRINUSE', 'EACCES', 'EAGAIN', 'EWOULDBLOCK'].includes(error.code)) throw taken(path);
    throw error;
  }
};
