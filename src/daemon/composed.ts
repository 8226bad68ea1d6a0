/** What a composition root gives back. */
export type Composed<T> = T & {
  /** Undoes all that was opened, in reverse. */
  close(): Promise<void>;
};

/**
 * Runs a composition root, which defers to `undo` how each thing that it opens is undone: in reverse, by
 * `close`, or before this throws where it fails half-way.
 */
export async function composed<T extends object>(
  build: (undo: AsyncDisposableStack) => Promise<T>,
): Promise<Composed<T>> {
  const undo = new AsyncDisposableStack();
  try {
    return { ...(await build(undo)), close: () => undo.disposeAsync() };
  } catch (error) {
    await undo.disposeAsync();
    throw error;
  }
}
