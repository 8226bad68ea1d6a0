/** The file of a worker beside the calling module, with the caller's own extension: `.ts` in the tree, `.js` when built. */
export function workerUrl(callerUrl: string, name: string): URL {
  const extension = callerUrl.endsWith('.ts') ? '.ts' : '.js';
  return new URL(`${name}${extension}`, callerUrl);
}
