/**
 * Something to be called again and again that is left out while the call before is under way: what hangs,
 * such as a look at a dead disk, takes one thread and not all of them. `run` must never reject.
 */
export function oneAtATime(run: () => Promise<void>): () => void {
  let isRunning = false;
  return () => {
    if (isRunning) return;
    isRunning = true;
    void run().finally(() => {
      isRunning = false;
    });
  };
}
