import { readdirSync, readFileSync } from 'node:fs';
import type { LoadShape } from './load-process.ts';
import { type PartCosts, type Profile, perShare, spread } from './part-profiler.ts';
import { profilePeerLink } from './peer-link.ts';
import { measureLoad, type Ports, startProxyProcess } from './whole-proxy.ts';

type ThreadTimes = { readonly main: number; readonly ledger: number; readonly others: number };

/** CPU time of the threads of a process, in microseconds by ticks of 10 ms (Linux). */
function threadTimes(pid: number): ThreadTimes {
  const times = { main: 0, ledger: 0, others: 0 };
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const text = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const micros = (Number(fields[11]) + Number(fields[12])) * 10_000;
    if (Number(thread) === pid) times.main += micros;
    else if (text.includes('(ledger)')) times.ledger += micros;
    // The profiler's own thread is none of the proxy's.
    else if (!text.includes('(v8:Prof')) times.others += micros;
  }
  return times;
}

/** The proxy alone by part, at each shape; then both ends of the peer link. */
export async function measureParts(shapes: readonly LoadShape[], seconds: number): Promise<PartCosts[]> {
  const costs: PartCosts[] = [];
  const proxy = startProxyProcess({ port: 0, branches: 12, difficulty: 2 ** -32, blockSeconds: 0 });
  try {
    await proxy.ask<Ports>('ports');
    for (const shape of shapes) {
      await measureLoad([proxy], shape, { seconds, isProxy: true });
      await proxy.ask('startProfile');
      const before = threadTimes(proxy.pid);
      const { acceptedInAll } = await measureLoad([proxy], shape, { seconds, isProxy: true, warmMs: 0 });
      const after = threadTimes(proxy.pid);
      const micros = {
        ...spread(await proxy.ask<Profile>('stopProfile'), after.main - before.main),
        'ledger thread': after.ledger - before.ledger,
        'other threads': after.others - before.others,
      };
      costs.push({ what: `${shape.connections}x${shape.window}`, micros: perShare(micros, acceptedInAll) });
    }
  } finally {
    await proxy.stop();
  }
  return [...costs, ...(await profilePeerLink())];
}

/** A row a part, a column each measurement. */
export function partsTable(costs: readonly PartCosts[]): string {
  const parts = [...new Set(costs.flatMap(({ micros }) => Object.keys(micros)))];
  const cells = (of: (cost: PartCosts) => string): string =>
    costs.map((cost) => of(cost).padStart(13)).join('');
  const sum = ({ micros }: PartCosts): number => Object.values(micros).reduce((all, cost) => all + cost, 0);
  return [
    `${'CPU us/share'.padEnd(24)}${cells(({ what }) => what)}`,
    ...parts.map((part) => `${part.padEnd(24)}${cells(({ micros }) => (micros[part] ?? 0).toFixed(2))}`),
    `${'all'.padEnd(24)}${cells((cost) => sum(cost).toFixed(2))}`,
    '',
  ].join('\n');
}
