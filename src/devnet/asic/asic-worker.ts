import { parentPort, workerData } from 'node:worker_threads';
import { Grinder } from '../hashing/grinder.ts';
import { seededRandom } from '../net/seeded-random.ts';
import { AsicMachine } from './asic-machine.ts';
import type { AsicCommand, AsicMessage, AsicThreadData } from './asic-spec.ts';

const TICK_MS = 20;
/** After a stall the lost time is not made up for beyond this. */
const MAX_TICK_MS = 200;

/** At most this many get their turn in one tick: a large farm costs no more than a small one. */
const MACHINES_PER_TICK = 100;

/** Runs all ASICs of one thread: time is handed out in turns, commands and reports go by messages. */
function run(data: AsicThreadData, post: (message: AsicMessage) => void): (command: AsicCommand) => void {
  const grinder = new Grinder();
  const machines = data.specs.map(
    (spec, index) => new AsicMachine(spec, { grinder, random: seededRandom(spec.seed ?? index + 1) }),
  );
  const turns = Math.max(1, Math.ceil(machines.length / MACHINES_PER_TICK));
  const lastMs = machines.map(() => performance.now());
  let turn = 0;
  const ticker = setInterval(() => {
    const nowMs = performance.now();
    const total = machines.reduce((sum, machine) => sum + machine.hashesPerSecond, 0);
    const scale = Math.min(1, data.maxHashesPerSecond / Math.max(total, 1));
    turn = (turn + 1) % turns;
    for (let index = turn; index < machines.length; index += turns) {
      const elapsedMs = Math.min(nowMs - lastMs[index]!, MAX_TICK_MS * turns);
      lastMs[index] = nowMs;
      machines[index]!.hash(elapsedMs, nowMs, scale);
    }
  }, TICK_MS);
  const report = (request?: number): void => {
    const accepted = machines.map((machine) => machine.takeAccepted());
    const unanswered = machines.map((machine) => machine.takeUnanswered());
    post({
      reports: machines.map((machine) => machine.report()),
      accepted: data.trackAccepted ? accepted : [],
      unanswered: data.trackAccepted ? unanswered : [],
      ...(request === undefined ? {} : { request }),
    });
  };
  const reporter = setInterval(report, data.reportIntervalMs);
  const starts = machines.map((machine, index) =>
    setTimeout(() => machine.start(), (data.rampMs * index) / machines.length),
  );
  return (command) => {
    if (command.type === 'rate') machines[command.index]?.setRate(command.hashesPerSecond);
    if (command.type === 'stop') {
      clearInterval(ticker);
      clearInterval(reporter);
      for (const start of starts) clearTimeout(start);
      for (const machine of machines) machine.stop();
    }
    if (command.type !== 'rate') report(command.request);
  };
}

if (parentPort !== null) {
  const port = parentPort;
  const onCommand = run(workerData as AsicThreadData, (message) => port.postMessage(message));
  port.on('message', onCommand);
}
