import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach } from 'vitest';

const closing: (Server | Socket)[] = [];
afterEach(() => {
  for (const one of closing.splice(0)) {
    if ('listen' in one) one.close();
    else one.destroy();
  }
});

/** A connection as a listener accepts it, and its other end. */
export async function accepted(
  options = { pauseOnConnect: true },
): Promise<{ ours: Socket; theirs: Socket }> {
  const server = createServer(options).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const theirs = connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  const [ours] = (await once(server, 'connection')) as [Socket];
  closing.push(server, theirs, ours);
  return { ours, theirs };
}
