import { parentPort, workerData } from 'node:worker_threads';
import { AsicMachine } from './asic-machine.ts';
import type { AsicCommand, AsicMessage, AsicThreadData } from './asic-spec.ts';
import { Grinder } from './grinder.ts';

const TICK_MS = 20;
/** After a stall the lost time is not made up for beyond this. */
const MAX_TICK_MS = 200;

/** A small seeded generator (mulberry32), from 0 to 1. */
function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Runs all ASICs of one thread: time is handed out in turns, commands and reports go by messages. */
function run(data: AsicThreadData, post: (message: AsicMessage) => void): (command: AsicCommand) => void {
  const grinder = new Grinder();
  const machines = data.specs.map(
    (spec, index) => new AsicMachine(spec, { grinder, random: seededRandom(spec.seed ?? index + 1) }),
  );
  let lastMs = performance.now();
  const ticker = setInterval(() => {
    const nowMs = performance.now();
    const elapsedMs = Math.min(nowMs - lastMs, MAX_TICK_MS);
    lastMs = nowMs;
    for (const machine of machines) machine.hash(elapsedMs, nowMs);
  }, TICK_MS);
  const report = (request?: number): void => {
    const accepted = machines.map((machine) => machine.takeAccepted());
    post({
      reports: machines.map((machine) => machine.report()),
      accepted: data.trackAccepted ? accepted : [],
      ...(request === undefined ? {} : { request }),
    });
  };
  const reporter = setInterval(report, data.reportIntervalMs);
  for (const machine of machines) machine.start();
  return (command) => {
    if (command.type === 'rate') machines[command.index]?.setRate(command.hashesPerSecond);
    if (command.type === 'stop') {
      clearInterval(ticker);
      clearInterval(reporter);
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
