/**
 * The file of a worker beside the calling module, with the caller's own extension: `.ts` in the tree, `.js`
 * when built.
 * @param file as in the tree: `./name.ts`
 */
export function workerUrl(file: string, callerUrl: string): URL {
  return new URL(callerUrl.endsWith('.ts') ? file : file.replace(/\.ts$/, '.js'), callerUrl);
}
