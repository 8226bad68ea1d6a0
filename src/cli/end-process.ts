/** What waits in a thread for the system: `process.exit` would wait for it too, be it for minutes. */
const IN_THREADS: ReadonlySet<string> = new Set(['FSReqCallback', 'FSReqPromise', 'GetAddrInfoReqWrap']);

/**
 * Ends the process now, whatever is open. One that is stuck in the system, in a look-up of a name or a write
 * to a disk that does not answer, cannot leave with a code: it ends as by SIGKILL.
 */
export function endProcess(code: number): never {
  if (process.getActiveResourcesInfo().some((name) => IN_THREADS.has(name)))
    process.kill(process.pid, 'SIGKILL');
  process.exit(code);
}
