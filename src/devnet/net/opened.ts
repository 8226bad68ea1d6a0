/** Starts a server; where that fails, whatever of it is open is closed again. Throws what `start` throws. */
export async function opened<S extends { start(): Promise<void>; close(): Promise<void> }>(
  server: S,
): Promise<S> {
  try {
    await server.start();
    return server;
  } catch (error) {
    await server.close();
    throw error;
  }
}
