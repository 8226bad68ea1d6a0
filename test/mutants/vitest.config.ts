import { suiteConfig } from '../suite.ts';

const folders = (process.env['MUTANTS_TESTS'] ?? '').split(' ').filter((folder) => folder !== '');

/** Tests of some folders as the mutation tester runs them: modules stay loaded between mutants. */
export default suiteConfig({
  include: folders.map((folder) =>
    folder.endsWith('.ts') ? `test/${folder}` : `test/${folder}/**/*.test.ts`,
  ),
  isolate: false,
  fileParallelism: false,
  reporters: [],
});
