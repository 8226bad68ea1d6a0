import { afterAll, beforeAll } from 'vitest';
import { PostgresStand } from './primary-and-standby.ts';

/** One for all tests of a file. */
export function postgresStand(settings = ''): PostgresStand {
  const stand = new PostgresStand();
  beforeAll(() => stand.start(settings));
  afterAll(() => stand.stop());
  return stand;
}
