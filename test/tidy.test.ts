import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
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

/** Judgement before numbers: above the first a warning is printed, above the second the test fails. */
const FILE_LINES = { warn: 500, fail: 800 };
const MAX_LINE_CHARS = 110;
const MAX_TEXT_LINE_CHARS = 140;
const FUNCTION_LINES = { warn: 70, fail: 100 };

const sources = filesUnder('src').filter(isOurTypeScript);
const tests = filesUnder('test').filter(isOurTypeScript);
const typescript = [...sources, ...tests];

type Manifest = Readonly<
  Record<'dependencies' | 'optionalDependencies' | 'devDependencies', Readonly<Record<string, string>>>
>;

function warn(text: string): void {
  process.stderr.write(`warning: ${text}\n`);
}

/** `path:line: why` for each line of a file that matches. */
function findings(path: string, text: string, pattern: RegExp, why: string): string[] {
  return text
    .split('\n')
    .flatMap((line, index) => (pattern.test(line) ? [`${path}:${index + 1}: ${why}`] : []));
}

describe('imports', () => {
  const CORE = ['base', 'bitcoin', 'stratum', 'jobs', 'shares'];
  const LINE = [...CORE, 'downstream', 'upstream', 'work', 'contract', 'channel'];
  const FLOW = [...LINE, 'peer', 'settlement', 'miner', 'maker', 'audit', 'auditor', 'mining', 'operator'];
  const AROUND = ['chain', 'ledger', 'metrics', 'log', 'config', 'http', 'api', 'page'];
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
    work: [...CORE, 'ledger'],
    contract: [...CORE, 'work'],
    channel: [...CORE, 'chain', 'work', 'contract'],
    peer: [...CORE, 'work', 'contract', 'channel'],
    settlement: [...CORE, 'work', 'contract', 'channel', 'peer', 'chain', 'ledger'],
    // Work of the maker is a place to mine to, as those of `upstream` are.
    miner: [...CORE, 'upstream', 'work', 'contract', 'channel', 'peer', 'settlement', 'chain', 'ledger'],
    // Its own pools and nodes are behind `upstream`.
    maker: [...CORE, 'upstream', 'work', 'contract', 'channel', 'peer', 'settlement', 'chain', 'ledger'],
    audit: [...CORE, 'work', 'contract', 'channel', 'peer', 'settlement'],
    fleet: ['base', 'shares', 'work', 'ledger', 'chain', 'channel', 'settlement'],
    auditor: ['base', 'bitcoin', 'contract', 'channel', 'peer', 'settlement', 'ledger'],
    mining: [...LINE, 'config', 'ledger', 'log'],
    operator: [...upTo('mining'), ...AROUND],
    chain: ['base', 'bitcoin'],
    ledger: ['base', 'bitcoin'],
    metrics: ['base'],
    log: ['base'],
    config: ['base', 'bitcoin'],
    http: ['base', 'metrics', 'log'],
    api: ['base', 'http'],
    // What a browser runs: it shares nothing but types.
    page: [],
    devnet: [...FLOW, ...AROUND],
    daemon: [...FLOW, ...AROUND, 'fleet', 'devnet'],
    cli: [...FLOW, ...AROUND, 'devnet', 'daemon'],
    'main.ts': ['base', 'cli'],
  };
  /** The interfaces a folder may name without using the code behind them. */
  const MAY_NAME: Readonly<Record<string, readonly string[]>> = {
    contract: ['ledger', 'chain'],
    channel: ['ledger', 'chain'],
    page: ['api'],
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

  it('make no circle of files, types included', () => {
    const graph = new Map(
      sources.map((path) => [
        path,
        importsOf(readSource(path)).flatMap(({ specifier }) => targetOf(path, specifier) ?? []),
      ]),
    );
    const circles: string[] = [];
    const done = new Set<string>();
    const visit = (path: string, way: readonly string[]): void => {
      if (way.includes(path)) circles.push([...way.slice(way.indexOf(path)), path].join(' -> '));
      if (done.has(path) || way.includes(path)) return;
      for (const next of graph.get(path) ?? []) visit(next, [...way, path]);
      done.add(path);
    };
    for (const path of sources) visit(path, []);
    expect(circles).toEqual([]);
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

  /** Makes committed code, or compiles; never runs in the product. */
  const GENERATORS = /^src\/shares\/kernel\/(?:build-(?:kernel|native)\.ts|rounds-source\.ts|assembly\/)/;

  it('reach every file of src from the program: what tests alone need is theirs', () => {
    const reached = new Set<string>();
    const queue = ['src/main.ts'];
    for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
      if (reached.has(path) || !existsSync(join(ROOT, path))) continue;
      reached.add(path);
      queue.push(...neighboursOf(path));
    }
    const dead = filesUnder('src').filter((path) => path.endsWith('.ts') && !reached.has(path));
    expect(dead.filter((path) => !GENERATORS.test(path))).toEqual([]);
  });

  /** What documents are made with, and the other halves of what the program does itself. */
  const UNUSED_EXPORTS = ['depletionWork', 'metricTable', 'optionTable', 'parseLadder', 'signPsbt'];

  it('export nothing that no code of src names again: what tests alone need is theirs', () => {
    const code = new Map(sources.map((path) => [path, withoutComments(readSource(path))]));
    const named = new Map<string, number>();
    for (const [word] of [...code.values()].flatMap((text) => [...text.matchAll(/[A-Za-z_$][\w$]*/g)]))
      named.set(word, (named.get(word) ?? 0) + 1);
    const declared = /^export (?:async )?(?:abstract )?(?:type|const|function\*?|class) (\w+)/gm;
    const unused = [...code]
      .filter(([path]) => !GENERATORS.test(path))
      .flatMap(([path, text]) => [...text.matchAll(declared)].map((match) => ({ path, name: match[1]! })))
      .filter(({ name }) => named.get(name) === 1 && !UNUSED_EXPORTS.includes(name));
    expect(unused).toEqual([]);
  });

  /** Project files that a file imports, be it for types, or starts as a worker. */
  const neighboursOf = (path: string): string[] =>
    [...withoutComments(readSource(path)).matchAll(/(['"`])(\.{1,2}\/[^'"`\n]+\.ts)\1/g)].map(
      (match) => targetOf(path, match[2]!)!,
    );
  const reachedFrom = (start: string, neighbours: (node: string) => readonly string[]): Set<string> => {
    const reached = new Set<string>();
    const queue = [...neighbours(start)];
    for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
      if (reached.has(node)) continue;
      reached.add(node);
      queue.push(...neighbours(node));
    }
    return reached;
  };

  it('make no circle of inner folders of devnet', () => {
    const files = sources.filter((path) => folderOf(path) === 'devnet');
    const inDevnet = (path: string): string[] =>
      neighboursOf(path).filter((target) => folderOf(target) === 'devnet');
    const inner = (path: string): string => path.split('/').slice(2, -1).join('/') || 'devnet itself';
    const innerOf = (folder: string): string[] =>
      files
        .filter((path) => inner(path) === folder)
        .flatMap((path) => inDevnet(path).map(inner))
        .filter((to) => to !== folder);
    const folders = [...new Set(files.map(inner))];
    expect(folders.filter((folder) => reachedFrom(folder, innerOf).has(folder))).toEqual([]);
  });

  it('of devnet, from the rest of src, are those of the demo and the devnet command', () => {
    const importers = sources.filter(
      (path) =>
        folderOf(path) !== 'devnet' && neighboursOf(path).some((target) => folderOf(target) === 'devnet'),
    );
    expect(importers).toEqual(['src/cli/devnet.ts', 'src/daemon/demo.ts']);
  });

  it.each(['src/daemon/proxy.ts', 'src/daemon/maker.ts', 'src/cli/proxy.ts', 'src/cli/maker.ts'])(
    'of %s reach nothing of devnet, and no optional package',
    (daemon) => {
      const { optionalDependencies } = JSON.parse(readSource('package.json')) as Manifest;
      const reached = [daemon, ...reachedFrom(daemon, neighboursOf)];
      expect(reached.length).toBeGreaterThan(50);
      expect(reached.filter((path) => folderOf(path) === 'devnet')).toEqual([]);
      const packages = reached.flatMap((path) =>
        importsOf(readSource(path)).map(({ specifier }) => specifier),
      );
      expect(packages.filter((name) => Object.hasOwn(optionalDependencies, packageOf(name)))).toEqual([]);
    },
  );

  it('use every package that package.json asks for, and no other', () => {
    const manifest = JSON.parse(readSource('package.json')) as Manifest;
    const installed = { ...manifest.dependencies, ...manifest.optionalDependencies };
    const used = (paths: readonly string[]): Set<string> => {
      const imports = paths.flatMap((path) => importsOf(readSource(path)));
      const packages = imports.filter(({ specifier }) => !/^(\.|node:)/.test(specifier));
      return new Set(packages.map(({ specifier }) => packageOf(specifier)));
    };
    /** Run as programs, or read by the compiler: nothing imports them. */
    const tools = [
      '@biomejs/biome',
      '@types/node',
      '@types/pg',
      'assemblyscript',
      'node-api-headers',
      'node',
      'node-newest',
      'oxlint',
      'oxlint-tsgolint',
      'typescript',
    ];
    const inProgram = used(sources.filter((path) => !GENERATORS.test(path)));
    const inTests = used([...tests, ...sources.filter((path) => GENERATORS.test(path))]);
    const wrong: string[] = [];
    for (const name of Object.keys(installed)) {
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
      if (!Object.hasOwn(installed, name)) wrong.push(`src imports ${name}, which is not a dependency`);
    }
    for (const name of inTests) {
      const known = { ...installed, ...manifest.devDependencies };
      if (!Object.hasOwn(known, name))
        wrong.push(`a test imports ${name}, which package.json does not name`);
    }
    expect(wrong).toEqual([]);
  });
});

describe('sizes', () => {
  it(`files stay under ${FILE_LINES.fail} lines`, () => {
    const counts = typescript.map((path) => ({
      path,
      lines: readSource(path).trimEnd().split('\n').length,
    }));
    for (const { path, lines } of counts) {
      if (lines > FILE_LINES.warn) warn(`${path} has ${lines} lines`);
    }
    expect(counts.filter(({ lines }) => lines > FILE_LINES.fail)).toEqual([]);
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

  it(`functions of src stay under ${FUNCTION_LINES.fail} lines`, () => {
    const longerThan = (max: number): string[] =>
      lintSources(
        `{"rules":{"eslint/max-lines-per-function":["error",{"max":${max}}]},"categories":{"correctness":"off"}}`,
      );
    for (const long of longerThan(FUNCTION_LINES.warn)) warn(long);
    expect(longerThan(FUNCTION_LINES.fail)).toEqual([]);
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
  /**
   * Dates of the ledger, of notices, of certificates, of the status and of what is exported; ntime; the last
   * contact; where ids begin.
   */
  const WALL_TIME = new RegExp(
    [
      '^test/|^src/(devnet|ledger)/|^src/maker/(backlog|batch-verifier|maker|maker-meter|maker-store|work-binding).ts$',
      '^src/(chain/tip-tracker|daemon/doctor-remote|miner/refusals|miner/work-jobs|mining/clock-offsets).ts$',
      '^src/(chain/chain-clock|maker/market|operator/maker-offer|cli/channel|cli/evidence|daemon/watch).ts$',
      '^src/(api/feed|auditor/auditor|daemon/write-journal|downstream/server/server|log/pino-logger|upstream/dag-view).ts$',
      '^src/daemon/(clock-actions|system-view|timeline).ts$',
      '^src/settlement/(auditor-link|ladder-writer|minute-keeper|notice-board|tip-log-keeper).ts$',
    ].join('|'),
  );
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
    {
      pattern: /^\s*export\s+default\b|\bas\s+default\b/,
      why: 'default export',
      but: /\.config\.ts$|^test\/mutants\/judge\.ts$/,
    },
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
      but: /^(test\/|src\/(base\/clock\.ts|cli\/|devnet\/|page\/))|-worker\.ts$/,
    },
    {
      pattern:
        /(?<![.\w])(?:set|clear)(?:Timeout|Interval|Immediate)\b|\bprocess\.nextTick\b|Signal\.timeout\b/,
      why: 'timers come from the injected ones',
      but: /^(test\/|src\/(base\/system-timers\.ts|devnet\/|page\/))/,
    },
    {
      pattern: /\bnowMs\(\)/,
      why: 'wall time is for dates, and each place that reads it stands here: a duration is monotonic',
      but: WALL_TIME,
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

  it('of tests draw no chance that no seed repeats', () => {
    const drawn = tests
      .filter((path) => !/^test\/(bench|chain-node|e2e)\//.test(path))
      .flatMap((path) =>
        findings(
          path,
          codeOnly(readSource(path)),
          /\bMath\.random\(|\brandomInt\(/,
          'chance: test/seed.ts',
        ),
      );
    expect(drawn.filter((line) => !line.startsWith('test/suite.ts:'))).toEqual([]);
  });

  /** Waits that are helpers, polls of what cannot be awaited, and timers of sockets and of real machines. */
  const MAY_SLEEP = new RegExp(
    [
      '^test/(bench|chain-node|devnet|downstream|e2e|upstream)/|/fixtures/|e2e-test.ts$',
      '^test/mining/(stand|braidpool-stage|several-contracts.test).ts$|^test/peer/rpc-peer.test.ts$',
      '^test/chain/delivery-styles.test.ts$|^test/maker/(world|reestablish.test).ts$|^test/sim/run.ts$',
      '^test/mutants/judge.ts$|^test/prometheus/day.ts$',
    ].join('|'),
  );

  it('of tests wait for what is to come, not for a time: `until`, `world.rest`, or an injected clock', () => {
    const sleeps = tests
      .filter((path) => !MAY_SLEEP.test(path))
      .flatMap((path) => findings(path, codeOnly(readSource(path)), /\bsetTimeout\b/, 'a wait'));
    const polls = /while \(.*\) await new Promise/;
    const lineOf = (finding: string): string => {
      const [path, line] = finding.split(':');
      return readSource(path!).split('\n')[Number(line) - 1]!;
    };
    expect(sleeps.filter((finding) => !polls.test(lineOf(finding)))).toEqual([]);
  });

  it('of the modules for timers name none', () => {
    const modules = sources
      .filter((path) => !path.startsWith('src/devnet/'))
      .flatMap((path) => importsOf(readSource(path)).map(({ specifier }) => `${path}: ${specifier}`));
    expect(modules.filter((line) => /: node:timers/.test(line))).toEqual([]);
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

describe('src/README.md', () => {
  const text = readSource('src/README.md');

  it('shows the way of a share by files that are there, each visited once', () => {
    const way = text.slice(text.indexOf('## The way of one share'), text.indexOf('## Three questions'));
    const stops = [...way.matchAll(/^\| \d+ \| `([^`]+)`/gm)].map((match) => match[1]!);
    expect(stops.length).toBeGreaterThan(10);
    expect(new Set(stops).size).toBe(stops.length);
    expect(stops.filter((path) => !existsSync(join(ROOT, 'src', path)))).toEqual([]);
  });

  it('names every folder in its order of imports', () => {
    const table = text.slice(text.indexOf('## Folders'), text.indexOf('## Machines'));
    const rows = [...table.matchAll(/^\| ((?:`\w+` ?)+)\|/gm)].map((match) => match[1]!);
    const named = rows.flatMap((row) => [...row.matchAll(/`(\w+)`/g)].map((match) => match[1]!));
    const there = new Set(sources.map((path) => path.split('/')[1]!).filter((name) => !name.includes('.')));
    expect(named.toSorted()).toEqual([...there].toSorted());
  });

  it('lists every machine, and each has the one shape', () => {
    const table = text.slice(text.indexOf('<!-- machines -->'), text.indexOf('<!-- end of machines -->'));
    const listed = [...table.matchAll(/^\| `([^`]+)`/gm)].map((match) => `src/${match[1]!}`);
    const code = sources.map((path) => ({ path, text: withoutComments(readSource(path)) }));
    const machines = code.filter(({ text }) => /^export .*\btransition\b/m.test(text));
    expect(listed.toSorted()).toEqual(machines.map(({ path }) => path).toSorted());

    const results =
      /^export type (\w+) = \{\s*readonly state: \w+;\s*readonly effects: readonly \w+\[\];?\s*\};/gm;
    const steps = new Set(
      code.flatMap(({ text }) => [...text.matchAll(results)].map((match) => match[1]!)),
    );
    const wrong = machines.filter(({ text }) => {
      const [, list = '', result = ''] =
        /^export function transition\(([^)]*)\): (\w+) \{/m.exec(text) ?? [];
      const names = [...list.matchAll(/(\w+): \w+/g)].map((match) => match[1]!);
      const isShaped = /^options state event (?:_?nowMs|height|workHashes)$/.test(names.join(' '));
      return !isShaped || !steps.has(result);
    });
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });
});

describe('src/GLOSSARY.md', () => {
  const rows = [...readSource('src/GLOSSARY.md').matchAll(/^\| ([a-z][^|]*|EH) \| ([^|]*) \|$/gm)]
    .map((row) => ({ words: row[1]!.trim(), text: row[2]! }))
    .filter(({ words }) => words !== 'word');

  it('has each word once, in order below its heading, and names files that are there', () => {
    const words = rows.flatMap((row) => row.words.split(', '));
    expect(words.length).toBeGreaterThan(50);
    expect(new Set(words).size).toBe(words.length);
    const tables = readSource('src/GLOSSARY.md').split('\n## ').slice(1);
    for (const table of tables) {
      const named = rows.filter((row) => table.includes(`| ${row.words} |`)).map((row) => row.words);
      expect(named).toEqual(named.toSorted((a, b) => a.localeCompare(b, 'en')));
    }
    const files = rows.flatMap(({ text }) => [...text.matchAll(/`([\w/-]+(?:\.ts|\/\w+))`/g)]);
    expect(files.length).toBeGreaterThan(8);
    expect(files.map(([, path]) => path!).filter((path) => !existsSync(join(ROOT, 'src', path)))).toEqual(
      [],
    );
  });

  it('says of no word what the code never says', () => {
    const code = sources.map((path) => readSource(path).toLowerCase().replaceAll('_', ' ')).join('\n');
    const strange = rows
      .flatMap((row) => row.words.split(', '))
      .filter((word) => !code.includes(word.toLowerCase().replace(' n', '')));
    expect(strange).toEqual([]);
  });
});

describe('folders', () => {
  const folders = [
    ...new Set(sources.filter((path) => path.split('/').length > 2).map((path) => path.split('/')[1]!)),
  ];

  it.each(folders)('src/%s says in a README.md of 4 to 60 lines what it is for', (folder) => {
    const path = `src/${folder}/README.md`;
    expect(existsSync(join(ROOT, path)), `${path} is missing`).toBe(true);
    const lines = readSource(path).trimEnd().split('\n').length;
    expect(lines, `${path} has ${lines} lines`).toBeGreaterThanOrEqual(4);
    expect(lines, `${path} has ${lines} lines`).toBeLessThanOrEqual(60);
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
    const extra = new Set('bench chain-node e2e mutants ops packages prometheus property sim'.split(' '));
    const wrong = tests.filter((path) => {
      const [, folder = '', ...rest] = path.split('/');
      return rest.length > 0 && !extra.has(folder) && !existsSync(join(ROOT, 'src', folder));
    });
    expect(wrong).toEqual([]);
  });
});

describe('documents', () => {
  const texts = filesUnder('').filter((path) => !/\.(?:png|wasm|ico|woff2)$|^package-lock/.test(path));
  const documents = texts.filter((path) => path.endsWith('.md'));

  /** Lines of a document that are text: neither of a table nor of a block of code. */
  const proseOf = (path: string): { readonly line: string; readonly number: number }[] => {
    let isCode = false;
    return readSource(path)
      .split('\n')
      .map((line, index) => {
        if (line.startsWith('```')) isCode = !isCode;
        return { line: isCode || line.startsWith('|') ? '' : line, number: index + 1 };
      });
  };

  /** From its folder, from the top of the project, or by a name that only one document has. */
  const isDocument = (from: string, name: string): boolean => {
    const near = normalize(join(dirname(from), name));
    if ([near, name].some((path) => documents.includes(path))) return true;
    const named = documents.filter((path) => path.endsWith(`/${name}`));
    return !name.includes('/') && named.length === 1;
  };

  it('that a file names are in the project', () => {
    const wrong = texts.flatMap((path) =>
      readSource(path)
        .split('\n')
        .flatMap((line, index) =>
          [...line.matchAll(/(?<![\w.:/}-])[\w./-]*\w\.md\b/g)]
            .filter(([name]) => !isDocument(path, name))
            .map(([name]) => `${path}:${index + 1}: there is no ${name}`),
        ),
    );
    expect(wrong).toEqual([]);
  });

  it('link to files that are there, and to headings they have', () => {
    const anchorsOf = (path: string): string[] =>
      [...readSource(path).matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
        title!
          .toLowerCase()
          .replace(/[^\w -]/g, '')
          .replaceAll(' ', '-'),
      );
    const wrong = documents.flatMap((path) =>
      [...readSource(path).matchAll(/\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]*))?\)/g)].flatMap(
        ([, to = '', anchor]) => {
          const target = to === '' ? path : normalize(join(dirname(path), to));
          if (!existsSync(join(ROOT, target))) return [`${path}: there is no ${to}`];
          if (anchor === undefined || anchorsOf(target).includes(anchor)) return [];
          return [`${path}: ${to} has no heading #${anchor}`];
        },
      ),
    );
    expect(wrong).toEqual([]);
  });

  it(`have lines of up to ${MAX_TEXT_LINE_CHARS} characters, but for tables`, () => {
    const wrong = documents.flatMap((path) =>
      proseOf(path)
        .filter(({ line }) => line.length > MAX_TEXT_LINE_CHARS)
        .map(({ line, number }) => `${path}:${number}: ${line.length} characters`),
    );
    expect(wrong).toEqual([]);
  });

  it('in folders, but the map of src, have 4 to 60 lines as a README.md', () => {
    const wrong = documents
      .filter((path) => path.endsWith('/README.md') && path !== 'src/README.md')
      .map((path) => ({ path, lines: readSource(path).trimEnd().split('\n').length }))
      .filter(({ lines }) => lines < 4 || lines > 60);
    expect(wrong).toEqual([]);
  });
});
