import { createServer, type Socket } from 'node:net';
import { serveParent, usage } from './child.ts';

/**
 * The floor: a server that cuts lines, finds their ids and answers `true`, checking nothing. What a proxy
 * costs above it is its own work.
 */
export function startBareServer(): Promise<number> {
  const server = createServer({ noDelay: true }, serve);
  return new Promise((resolve) => {
    server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () =>
      resolve((server.address() as { port: number }).port),
    );
  });
}

const EXTRANONCE = '[[["mining.notify","1"]],"00000001",4]';
const NOTIFY = {
  id: null,
  method: 'mining.notify',
  params: ['1', '00'.repeat(32), '00', '00', [], '20000000', '1702f128', '68000000', true],
};
/** The easiest difficulty, so that a load may look for shares as it does with a proxy. */
const DIFFICULTY = { id: null, method: 'mining.set_difficulty', params: [2 ** -32] };
const FIRST_WORK = `${JSON.stringify(DIFFICULTY)}\n${JSON.stringify(NOTIFY)}\n`;

function serve(socket: Socket): void {
  let rest = '';
  socket.on('data', (chunk: Buffer) => {
    const text = rest + chunk.toString('latin1');
    let out = '';
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      out += answer(text.slice(start, end));
      start = end + 1;
    }
    rest = text.slice(start);
    socket.write(out, 'latin1');
  });
  socket.on('error', () => socket.destroy());
}

function answer(line: string): string {
  const id = line.slice(line.indexOf(':') + 1, line.indexOf(','));
  if (line.includes('mining.submit')) return `{"id":${id},"result":true,"error":null}\n`;
  const result = line.includes('mining.subscribe') ? EXTRANONCE : 'true';
  const after = line.includes('mining.authorize') ? FIRST_WORK : '';
  return `{"id":${id},"result":${result},"error":null}\n${after}`;
}

if (import.meta.main) {
  const port = startBareServer();
  serveParent({ ports: async () => ({ port: await port }), usage }, () => {});
}
