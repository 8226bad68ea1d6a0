import { readFileSync } from 'node:fs';

/** The version of the package this program runs from. */
export const VERSION = readVersion();

/** How the proxy names itself to pools and miners. */
export const USER_AGENT = `sharestream/${VERSION}`;

/** The commit it was built from, where the build says so. */
export const COMMIT = process.env['SHARESTREAM_COMMIT'] ?? 'unknown';

function readVersion(): string {
  const manifest: unknown = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  return (manifest as { version: string }).version;
}
