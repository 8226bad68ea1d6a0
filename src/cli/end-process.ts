import { systemClock } from '../base/clock.ts';
import { unlessEnded } from '../base/system-timers.ts';

/** What waits in a thread for the system: `process.exit` would wait for it too, be it for minutes. */
const IN_THREADS: ReadonlySet<string> = new Set(['FSReqCallback', 'FSReqPromise', 'GetAddrInfoReqWrap']);

/** What a command has left open keeps the process no longer than this, ... */
const END_MS = 500;
/** ... and what is stuck in the system no longer than this: longer than a resolver waits for an answer. */
const STUCK_MS = 9_000;

const isStuck = (): boolean => process.getActiveResourcesInfo().some((name) => IN_THREADS.has(name));

/** Ends the process with this code as soon as nothing is left to do, and soon in any case. */
export function endInTime(code: number): void {
  process.exitCode = code;
  const untilMs = systemClock.monotonicMs() + STUCK_MS;
  const end = (): void => {
    if (isStuck() && systemClock.monotonicMs() < untilMs) unlessEnded(END_MS, end);
    else endProcess(code);
  };
  unlessEnded(END_MS, end);
}

/**
 * Ends the process now, whatever is open. One that is stuck in the system, in a look-up of a name or a write
 * to a disk that does not answer, cannot leave with a code: it ends as by SIGKILL.
 */
export function endProcess(code: number): never {
  if (isStuck()) process.kill(process.pid, 'SIGKILL');
  process.exit(code);
}
