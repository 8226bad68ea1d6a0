import { suiteConfig } from '../suite.ts';
import { keepCompiled } from './compiled.ts';

keepCompiled();

/** What takes long or wants more than a user may do everywhere: run when what it plays has changed. */
export default suiteConfig({
  globalSetup: new URL('compiled.ts', import.meta.url).pathname,
  include: ['test/e2e/*.hand-test.ts'],
});
