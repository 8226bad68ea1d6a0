import { createServer } from 'node:net';
import type { Random } from '../../base/clock.ts';

/** Below the ports that systems give to whoever asks for any, so that they stay free until they are used. */
const FIRST_PORT = 10_000;
const PORTS = 22_000;
/** Processes that look at the same time have a part of them each, by their numbers. */
const PARTS = 100;
const PART = PORTS / PARTS;

/** What this process gave: between two uses such a port is free, and yet somebody's. */
const given = new Set<number>();

/** Ports on loopback that nobody listens on, each given once. Throws when a process asks for too many. */
export async function freePorts(count: number, random: Random): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    if (given.size >= PART) throw new Error(`no process has more than ${PART} ports`);
    const [high, low] = random.bytes(2);
    const port = FIRST_PORT + (process.pid % PARTS) * PART + ((high! * 256 + low!) % PART);
    if (given.has(port)) continue;
    given.add(port);
    if (await isFree(port)) ports.push(port);
  }
  return ports;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const isFree = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true));
  });
  if (isFree) await new Promise((done) => server.close(done));
  return isFree;
}
