import { type BrowserServer, chromium } from 'playwright-core';
import type { TestProject } from 'vitest/node';

declare module 'vitest' {
  interface ProvidedContext {
    /** Where the browser of all tests is. */
    readonly chromium: string;
  }
}

/** Where Debian puts its own; `CHROMIUM_PROGRAM=PATH` names another. */
export const CHROMIUM = process.env['CHROMIUM_PROGRAM'] ?? '/usr/bin/chromium';
export const CHROMIUM_FLAGS = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'];

let server: BrowserServer | undefined;

/** One browser for all tests of a run. */
export async function setup(project: TestProject): Promise<void> {
  server = await chromium.launchServer({
    ...{ executablePath: CHROMIUM, args: CHROMIUM_FLAGS, host: '127.0.0.1' },
  });
  project.provide('chromium', server.wsEndpoint());
}

export async function teardown(): Promise<void> {
  await server?.close();
}
