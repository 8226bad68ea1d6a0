import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { stripTypeScriptTypes } from 'node:module';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Page } from '../http/server.ts';

const gzipped = promisify(gzip);

/** The module a browser begins with, by daemon. */
const ENTRIES = {
  proxy: new URL('../page/proxy.ts', import.meta.url),
  maker: new URL('../page/maker.ts', import.meta.url),
  auditor: new URL('../page/auditor.ts', import.meta.url),
} as const;

/** Modules of packages, by the name they are imported under: the file of it, and what makes that a module. */
const VENDORED: Readonly<Record<string, { readonly file: string; readonly end?: string }>> = {
  preact: { file: 'preact' },
  'preact/hooks': { file: 'preact/hooks' },
  htm: { file: 'htm' },
  'htm/preact': { file: 'htm/preact' },
  uplot: { file: 'uplot/dist/uPlot.iife.min.js', end: '\nexport default uPlot;\n' },
  uqr: { file: 'uqr' },
};

const STYLES = {
  'style.css': './style.css',
  'desk.css': './desk.css',
  'uplot.css': 'uplot/dist/uPlot.min.css',
} as const;

/** No request leaves the origin, nothing inline runs, and no other page frames it. */
const POLICY = [
  ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:"],
  ...["connect-src 'self'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
].join('; ');
const HEADERS = {
  ...{ 'content-security-policy': POLICY, 'referrer-policy': 'no-referrer', vary: 'accept-encoding' },
  'cross-origin-opener-policy': 'same-origin',
} as const;

const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
  js: 'text/javascript; charset=utf-8',
};

type File = {
  readonly type: string;
  readonly text: string;
  readonly packed: Uint8Array;
  readonly etag: string;
};

/**
 * The page of a daemon: read, made into what a browser runs and packed once, when it is first asked for. From
 * the sources its types are taken out, as Node does with our own; a program that was built has it without.
 */
export function pageOf(daemon: keyof typeof ENTRIES): Page {
  let made: Promise<ReadonlyMap<string, File>> | undefined;
  return async (path, { encodings, etags }) => {
    // What could not be read is read again when it is asked for again.
    made ??= madeFiles(ENTRIES[daemon]).catch((error: unknown) => {
      made = undefined;
      throw error;
    });
    const file = (await made).get(path);
    if (file === undefined) return undefined;
    const { type, etag, text, packed } = file;
    const headers = { ...HEADERS, etag, 'cache-control': 'no-cache' };
    if (etags.includes(etag)) return { status: 304, type, body: '', headers };
    if (!/\bgzip\b/.test(encodings)) return { status: 200, type, body: text, headers };
    return { status: 200, type, body: packed, headers: { ...headers, 'content-encoding': 'gzip' } };
  };
}

/** What is served, by path. */
async function madeFiles(entry: URL): Promise<ReadonlyMap<string, File>> {
  const ending = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
  const start = new URL(entry.href.replace(/\.ts$/, ending));
  const scripts = new Map<string, string>();
  const queue: Named[] = [{ path: `/page/${nameOf(start)}`, url: start }];
  for (let at = queue.pop(); at !== undefined; at = queue.pop()) {
    if (scripts.has(at.path)) continue;
    const text = await moduleAt(at);
    scripts.set(at.path, withPaths(text));
    queue.push(...importsOf(text).map((specifier) => named(specifier, at!.url)));
  }
  const others = await Promise.all(
    Object.entries(STYLES).map(async ([name, file]) => {
      const at = file.startsWith('.') ? new URL(file, start) : new URL(import.meta.resolve(file));
      return [`/page/${name}`, await readFile(at, 'utf8')] as const;
    }),
  );
  const icon = await readFile(new URL('./icon.svg', start), 'utf8');
  const texts = [
    ['/', htmlOf([...scripts.keys()])],
    ['/page/icon.svg', icon],
    ...scripts,
    ...others,
  ] as readonly (readonly [string, string])[];
  return new Map(
    await Promise.all(texts.map(async ([path, text]) => [path, await packed(path, text)] as const)),
  );
}

async function packed(path: string, text: string): Promise<File> {
  const type = TYPES[path === '/' ? 'html' : path.slice(path.lastIndexOf('.') + 1)] ?? TYPES['js']!;
  const etag = `"${createHash('sha256').update(text).digest('base64url').slice(0, 22)}"`;
  return { type, text, packed: await gzipped(text, { level: 9 }), etag };
}

type Named = { readonly path: string; readonly url: URL; readonly end?: string };

/** What a module imports: another of ours, or a package. */
function named(specifier: string, from: URL): Named {
  if (specifier.startsWith('.')) {
    const url = new URL(specifier, from);
    return { path: `/page/${nameOf(url)}`, url };
  }
  const { file, end = '' } = VENDORED[specifier]!;
  return { path: vendorPath(specifier), url: new URL(import.meta.resolve(file)), end };
}

/** The program of a module, without its types. */
async function moduleAt({ url, end = '' }: Named): Promise<string> {
  const text = await readFile(url, 'utf8');
  if (url.href.endsWith('.ts')) return stripTypeScriptTypes(text);
  return text.replace(/\n\/\/# sourceMappingURL=.*/, '') + end;
}

const IMPORT = /(\b(?:import|from)\s*)(["'])([^"'\n]+)\2/g;

function importsOf(text: string): string[] {
  const names = [...text.matchAll(IMPORT)].map((match) => match[3]!);
  return names.filter((name) => name.startsWith('./') || Object.hasOwn(VENDORED, name));
}

/** Names of packages become paths of this server: a map of imports would have to be inline. */
function withPaths(text: string): string {
  return text.replaceAll(IMPORT, (all, before: string, quote: string, name: string) =>
    Object.hasOwn(VENDORED, name) ? `${before}${quote}${vendorPath(name)}${quote}` : all,
  );
}

function vendorPath(name: string): string {
  return `/page/vendor/${name.replaceAll('/', '-')}.js`;
}

function nameOf(url: URL): string {
  return url.pathname.slice(url.pathname.lastIndexOf('/page/') + '/page/'.length);
}

/** @param scripts the first of them begins */
function htmlOf(scripts: readonly string[]): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Sharestream</title>
<link rel="icon" href="/page/icon.svg">
${Object.keys(STYLES)
  .map((name) => `<link rel="stylesheet" href="/page/${name}">`)
  .join('\n')}
${scripts.map((path) => `<link rel="modulepreload" href="${path}">`).join('\n')}
<script type="module" src="${scripts[0]}"></script>
</head>
<body>
<noscript>This page needs JavaScript; the same is in words by "sharestream status", and as JSON at
<a href="/api/v1/status">/api/v1/status</a>.</noscript>
</body>
</html>
`;
}
