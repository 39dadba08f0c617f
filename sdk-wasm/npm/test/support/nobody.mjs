// An address at which nobody listens.

import { once } from 'node:events';
import { createServer } from 'node:net';

/** The address of a port that was free just now, and is closed. */
export const nobody = async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return `http://127.0.0.1:${port}`;
};
