import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  codeOnly,
  filesUnder,
  importsOf,
  isOurTypeScript,
  packageOf,
  ROOT,
  readSource,
  targetOf,
  withoutComments,
} from './source-tree.ts';

const MAX_FILE_LINES = 500;
const MAX_LINE_CHARS = 110;
const MAX_TEXT_LINE_CHARS = 140;
const MAX_FUNCTION_LINES = 70;

const sources = filesUnder('src').filter(isOurTypeScript);
const tests = filesUnder('test').filter(isOurTypeScript);
const typescript = [...sources, ...tests];

/** `path:line: why` for each line of a file that matches. */
function findings(path: string, text: string, pattern: RegExp, why: string): string[] {
  return text
    .split('\n')
    .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${why}`] : []));
}

describe('imports', () => {
  const CORE = ['base', 'bitcoin', 'stratum', 'jobs', 'shares'];
  const FLOW = [...CORE, 'downstream', 'upstream', 'work', 'contract', 'channel', 'peering', 'maker'];
  const AROUND = ['chain', 'ledger', 'metrics', 'log', 'config', 'http', 'ui'];
  const upTo = (name: string): string[] => FLOW.slice(0, FLOW.indexOf(name));

  /** What the code of a folder may import; its own folder goes without saying. */
  const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
    base: [],
    bitcoin: ['base'],
    stratum: ['base', 'bitcoin'],
    jobs: ['base', 'bitcoin', 'stratum'],
    shares: ['base', 'bitcoin', 'stratum', 'jobs'],
    downstream: CORE,
    upstream: CORE,
    work: [...upTo('work'), 'ledger'],
    contract: upTo('contract'),
    channel: upTo('channel'),
    peering: [...upTo('peering'), 'chain', 'ledger'],
    maker: [...upTo('maker'), 'chain', 'ledger'],
    chain: ['base', 'bitcoin'],
    ledger: ['base', 'bitcoin'],
    metrics: ['base'],
    log: ['base'],
    config: ['base'],
    http: ['base', 'metrics', 'log'],
    ui: ['base', 'http'],
    devnet: [...FLOW, ...AROUND],
    daemon: [...FLOW, ...AROUND, 'devnet'],
    cli: [...FLOW, ...AROUND, 'devnet', 'daemon'],
    'main.ts': ['base', 'cli'],
  };
  /** The interfaces a folder may name without using the code behind them. */
  const MAY_NAME: Readonly<Record<string, readonly string[]>> = {
    contract: ['ledger', 'chain'],
    channel: ['ledger', 'chain'],
  };
  const folderOf = (path: string): string => path.split('/')[1] ?? '';

  it('point down the list of folders', () => {
    const wrong: string[] = [];
    for (const path of sources) {
      const from = folderOf(path);
      const allowed = MAY_IMPORT[from];
      if (allowed === undefined) {
        wrong.push(`${path}: the folder ${from} is not in the table of allowed imports`);
        continue;
      }
      for (const { specifier, typeOnly } of importsOf(readSource(path))) {
        const target = targetOf(path, specifier);
        if (target === undefined || !target.endsWith('.ts')) continue;
        const to = folderOf(target);
        if (!target.startsWith('src/')) wrong.push(`${path}: leaves src (${specifier})`);
        else if (to === from || allowed.includes(to)) continue;
        else if (typeOnly && (to === 'log' || MAY_NAME[from]?.includes(to))) continue;
        else {
          const asTypes = MAY_NAME[from]?.includes(to) || to === 'log' ? ' except as `import type`' : '';
          wrong.push(
            `${path}: ${from} may not import ${to}${asTypes} (${specifier}); it may: ${allowed.join(', ')}`,
          );
        }
      }
    }
    expect(wrong).toEqual([]);
  });

  it('name files with their ending, and name files that exist', () => {
    const wrong: string[] = [];
    for (const path of typescript) {
      for (const { specifier } of importsOf(readSource(path))) {
        const target = targetOf(path, specifier);
        if (target === undefined || !/^\.\.?\/.*[^/]$/.test(specifier)) continue;
        if (!existsSync(join(ROOT, target))) wrong.push(`${path}: ${specifier} does not exist`);
      }
    }
    expect(wrong).toEqual([]);
  });

  it('reach every file of src from the program, a test or a bench', () => {
    const reached = new Set<string>();
    const queue = ['src/main.ts', ...tests];
    for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
      if (reached.has(path) || !existsSync(join(ROOT, path))) continue;
      reached.add(path);
      for (const match of withoutComments(readSource(path)).matchAll(
        /(['"`])(\.{1,2}\/[^'"`\n]+\.ts)\1/g,
      )) {
        queue.push(targetOf(path, match[2]!)!);
      }
      for (const match of withoutComments(readSource(path)).matchAll(/(['"`])(src\/[\w./-]+\.ts)\1/g))
        queue.push(match[2]!);
    }
    const dead = filesUnder('src').filter((path) => path.endsWith('.ts') && !reached.has(path));
    expect(dead.filter((path) => isOurTypeScript(path) || path.endsWith('.wasm.ts'))).toEqual([]);
  });

  it('use every package that package.json asks for, and no other', () => {
    const manifest = JSON.parse(readSource('package.json')) as {
      scripts: Record<string, string>;
      dependencies: Record<string, string>;
      devDependencies: Record<string, string>;
    };
    const used = (paths: readonly string[]): Set<string> => {
      const imports = paths.flatMap((path) => importsOf(readSource(path)));
      const packages = imports.filter(({ specifier }) => !/^(\.|node:)/.test(specifier));
      return new Set(packages.map(({ specifier }) => packageOf(specifier)));
    };
    /** Run as programs, or read by the compiler: nothing imports them. */
    const tools = [
      '@biomejs/biome',
      '@types/node',
      'assemblyscript',
      'node',
      'oxlint',
      'oxlint-tsgolint',
      'typescript',
    ];
    /** Makes committed code; never runs in the product. */
    const generators = ['src/shares/kernel/build-kernel.ts'];
    const inProgram = used(sources.filter((path) => !generators.includes(path)));
    const inTests = used([...tests, ...generators]);
    const wrong: string[] = [];
    for (const name of Object.keys(manifest.dependencies)) {
      if (inProgram.has(name)) continue;
      wrong.push(
        `${name} is a dependency, but ${inTests.has(name) ? 'only tests import' : 'nothing imports'} it`,
      );
    }
    for (const name of Object.keys(manifest.devDependencies)) {
      if (!inTests.has(name) && !tools.includes(name))
        wrong.push(`${name} is a devDependency, but no test imports it`);
    }
    for (const name of inProgram) {
      if (!Object.hasOwn(manifest.dependencies, name))
        wrong.push(`src imports ${name}, which is not a dependency`);
    }
    for (const name of inTests) {
      const known = { ...manifest.dependencies, ...manifest.devDependencies };
      if (!Object.hasOwn(known, name))
        wrong.push(`a test imports ${name}, which package.json does not name`);
    }
    expect(wrong).toEqual([]);
  });
});

describe('sizes', () => {
  it(`files stay under ${MAX_FILE_LINES} lines`, () => {
    const counts = typescript.map((path) => ({
      path,
      lines: readSource(path).trimEnd().split('\n').length,
    }));
    expect(counts.filter(({ lines }) => lines > MAX_FILE_LINES)).toEqual([]);
  });

  it(`lines stay under ${MAX_LINE_CHARS} characters, but for texts, which are easier to find unbroken`, () => {
    const wrong = typescript.flatMap((path) => {
      const lines = readSource(path).split('\n');
      const code = codeOnly(readSource(path)).split('\n');
      return lines.flatMap((line, index) => {
        const isText =
          (code[index] ?? '').replaceAll(' ', '').length <= 20 && !/^\s*(?:\/\*|\*|\/\/)/.test(line);
        const max = isText ? MAX_TEXT_LINE_CHARS : MAX_LINE_CHARS;
        return line.length > max ? [`${path}:${index + 1}: ${line.length} characters`] : [];
      });
    });
    expect(wrong).toEqual([]);
  });

  it(`functions of src stay under ${MAX_FUNCTION_LINES} lines`, () => {
    const rule = `{"rules":{"eslint/max-lines-per-function":["error",{"max":${MAX_FUNCTION_LINES}}]},"categories":{"correctness":"off"}}`;
    expect(lintSources(rule)).toEqual([]);
  });
});

describe('the scanner', () => {
  it('finds imports of every form, and none in comments', () => {
    const call = (name: string, path: string): string => `${name}('${path}'`;
    const source = [
      "import type { A } from './a.ts';",
      "import {\n  b,\n  type C,\n} from '../src/b.ts';",
      "import 'side';",
      "export { d } from './d.ts';",
      `const e = await ${call('import', './e.ts')});`,
      `new Worker(${call('new URL', './f.ts')}, import.meta.url));`,
      "// import './g.ts'",
      "/* import './h.ts' */",
      "const text = 'a // b';",
      "  import i from '@s/i/j';",
    ].join('\n');
    expect(
      importsOf(source).map(({ specifier, typeOnly }) => `${specifier}${typeOnly ? ' type' : ''}`),
    ).toEqual(['./a.ts type', '../src/b.ts', 'side', './d.ts', '@s/i/j', './e.ts', './f.ts']);
    expect(packageOf('@s/i/j')).toBe('@s/i');
    expect(targetOf('src/x/y.ts', '../src/w.ts')).toBe('src/src/w.ts');
  });

  it('tells code from comments, strings and regular expressions', () => {
    expect(
      codeOnly("a('any'); // any\n/* any */ b(`any c`);\nreturn /['\"]/.test(d);").replaceAll(/ +/g, ' '),
    ).toBe('a( ); \n b( );\nreturn /[\'"]/.test(d);');
  });
});

/** What oxlint says of src with one configuration, as `path:line: message`. */
function lintSources(configuration: string): string[] {
  const folder = mkdtempSync(join(tmpdir(), 'tidy-'));
  const config = join(folder, 'oxlint.json');
  writeFileSync(config, configuration);
  try {
    const words = ['--config', config, '--disable-nested-config', '--format=json', ...sources];
    const report = spawnSync(join(ROOT, 'node_modules/.bin/oxlint'), words, {
      cwd: ROOT,
      encoding: 'utf8',
    });
    const { diagnostics, number_of_files: files } = JSON.parse(report.stdout) as LintReport;
    expect(files, 'oxlint must have read every file').toBe(sources.length);
    return diagnostics.map((item) => `${item.filename}:${item.labels[0]?.span.line ?? 0}: ${item.message}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

type LintReport = {
  readonly number_of_files: number;
  readonly diagnostics: readonly {
    readonly message: string;
    readonly filename: string;
    readonly labels: readonly { readonly span: { readonly line: number } }[];
  }[];
};

describe('words', () => {
  /** Constructs that are left out of the language we use. Looked for in code, not in comments and strings. */
  const BANNED: readonly { readonly pattern: RegExp; readonly why: string; readonly but?: RegExp }[] = [
    {
      pattern: /(?:[:<|&,=(]\s*|\bas\s+|\bsatisfies\s+|\bextends\s+)any\b(?!\s*[:(.])|\bany\[\]/,
      why: 'the type any',
    },
    {
      pattern: /(?:^|[;}])\s*(?:export\s+|declare\s+)*(?:const\s+)?enum\s+\w+\s*\{/,
      why: 'enum: use a const object and a union',
    },
    { pattern: /(?:^|[;}])\s*(?:export\s+|declare\s+)*namespace\s+\w+\s*\{/, why: 'namespace' },
    { pattern: /^\s*export\s+default\b|\bas\s+default\b/, why: 'default export', but: /\.config\.ts$/ },
    { pattern: /^\s*export\s+\*/, why: 'barrel: import the file itself' },
    {
      pattern: /\bconsole\./,
      why: 'console: log, or write to the stream of the command',
      but: /^(src\/cli|test\/bench)\//,
    },
    { pattern: /\bdebugger\b/, why: 'debugger' },
    { pattern: /\b(?:it|test|describe)\.only\b/, why: 'only: the other tests would not run' },
    {
      pattern: /\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|\bperformance\.now\(/,
      why: 'time and chance come from the injected clock and random',
      but: /^(test\/|src\/(base\/clock\.ts|cli\/|devnet\/))|-worker\.ts$/,
    },
  ];

  it('in code are those of our language', () => {
    const wrong = typescript.flatMap((path) => {
      const code = codeOnly(readSource(path));
      return BANNED.filter(({ but }) => but?.test(path) !== true).flatMap(({ pattern, why }) =>
        findings(path, code, pattern, why),
      );
    });
    expect(wrong).toEqual([]);
  });

  it('in comments leave nothing undone or switched off', () => {
    const unfinished = new RegExp(
      ['TO' + 'DO', 'FIX' + 'ME', 'XX' + 'X', 'HA' + 'CK'].map((word) => `\\b${word}\\b`).join('|'),
    );
    const switchedOff = new RegExp(['@ts-' + 'ignore', '@ts-' + 'nocheck'].join('|'));
    const wrong = typescript.flatMap((path) => [
      ...findings(path, readSource(path), unfinished, 'something left to do'),
      ...findings(path, readSource(path), switchedOff, 'the compiler switched off'),
    ]);
    expect(wrong).toEqual([]);
  });

  /** Written in halves, so that this file passes its own test. */
  const FOREIGN = [
    ['cla', 'ude'],
    ['anth', 'ropic'],
    ['open', 'ai\\b'],
    ['chat', 'gpt'],
    ['co', 'pilot'],
    ['\\bll', 'ms?\\b'],
    ['sub', '-?agent'],
    ['\\bai ', 'agent'],
    ['coding ', 'agent'],
    ['language ', 'model'],
    ['the ', 'lead\\b'],
    ['the ', 'brief\\b'],
    ['as ', 'instructed'],
    ['issue ', '#?\\d'],
    ['registry\\.', '(?:npmjs|yarnpkg)'],
  ].map(([first, second]) => `${first}${second}`);
  const PLACES = ['wo' + 'rk', 'ho' + 'me', 'ro' + 'ot', 'Us' + 'ers'].join('|');

  it('in any file say nothing of the machine it was written on', () => {
    const words = new RegExp(FOREIGN.join('|'), 'i');
    const places = new RegExp(`(?<![\\w.~$}-])/(?:${PLACES})/\\w`);
    const wrong = filesUnder('')
      .filter((path) => !/\.(?:png|wasm|ico|woff2)$/.test(path))
      .flatMap((path) => {
        const text = readSource(path);
        const lines =
          path === 'package-lock.json'
            ? []
            : findings(path, text, words, 'a word from outside the product');
        return [...lines, ...findings(path, text, places, 'an absolute path of one machine')];
      });
    expect(wrong).toEqual([]);
  });
});

describe('paths', () => {
  /** A way up that ends beside the project, or at nothing: taken from the folder of its file. */
  const isAstray = (path: string, way: string): boolean => {
    const target = targetOf(path, way)!;
    const source = target.replace(/\.js$/, '.ts');
    return target.startsWith('..') || !(existsSync(join(ROOT, target)) || existsSync(join(ROOT, source)));
  };

  it('never lead out of the project: a stranger has nothing beside it', () => {
    const wrong = ['src', 'test', '.ci', 'README.md']
      .flatMap((place) => (place.includes('.md') ? [place] : filesUnder(place)))
      .filter((path) => !/\.(?:png|wasm|ico|woff2)$/.test(path))
      .flatMap((path) =>
        readSource(path)
          .split('\n')
          .flatMap((line, index) =>
            [...line.matchAll(/(?<![\w.$}/])(?:\.\.\/)+[\w.-]*/g)]
              .filter(([way]) => isAstray(path, way))
              .map(([way]) => `${path}:${index + 1}: ${way} is not in the project`),
          ),
      );
    expect(wrong).toEqual([]);
  });
});

describe('folders', () => {
  const folders = [
    ...new Set(sources.filter((path) => path.split('/').length > 2).map((path) => path.split('/')[1]!)),
  ];

  it.each(folders)('src/%s says in a README.md of 4 to 20 lines what it is for', (folder) => {
    const path = `src/${folder}/README.md`;
    expect(existsSync(join(ROOT, path)), `${path} is missing`).toBe(true);
    const lines = readSource(path).trimEnd().split('\n').length;
    expect(lines, `${path} has ${lines} lines`).toBeGreaterThanOrEqual(4);
    expect(lines, `${path} has ${lines} lines`).toBeLessThanOrEqual(20);
  });

  it('and files have names in kebab-case, and none is a barrel', () => {
    const wrong = typescript.filter((path) => {
      const name = path.slice(path.lastIndexOf('/') + 1);
      return (
        name === 'index.ts' || !/^[a-z0-9]+(?:-[a-z0-9]+)*(?:\.[a-z0-9]+(?:-[a-z0-9]+)*)*\.ts$/.test(name)
      );
    });
    expect(wrong).toEqual([]);
  });

  it('of tests mirror those of src', () => {
    const extra = new Set(['bench', 'chain-node', 'e2e', 'fuzz', 'ops', 'property', 'sim', 'ui']);
    const wrong = tests.filter((path) => {
      const [, folder = '', ...rest] = path.split('/');
      return rest.length > 0 && !extra.has(folder) && !existsSync(join(ROOT, 'src', folder));
    });
    expect(wrong).toEqual([]);
  });
});
