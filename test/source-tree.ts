import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('..', import.meta.url));

const NOT_OURS = new Set(['node_modules', 'dist', 'out', 'coverage', '.mutants', '.git']);

/** Paths, relative to the project, of every file under a folder that is ours to keep tidy. */
export function filesUnder(folder: string): string[] {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { withFileTypes: true })
    .filter((entry) => !NOT_OURS.has(entry.name))
    .flatMap((entry) => {
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      return entry.isDirectory() ? filesUnder(path) : [path];
    })
    .sort();
}

export function readSource(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** TypeScript of ours; AssemblyScript and generated modules are another language. */
export function isOurTypeScript(path: string): boolean {
  return (
    path.endsWith('.ts') &&
    !/\.(?:wasm|client)\.ts$/.test(path) &&
    !path.startsWith('src/shares/kernel/assembly/')
  );
}

export type Import = { readonly specifier: string; readonly typeOnly: boolean };

/**
 * Static, re-exported, dynamic and required imports, and files named in `new URL('./x.ts',
 * import.meta.url)`.
 */
export function importsOf(source: string): Import[] {
  const code = withoutComments(source);
  const imports: Import[] = [];
  const statement = /^\s*(?:import|export)\s+(type\s)?(?:[^'";()]*?\sfrom\s*)?(['"])([^'"]+)\2/gm;
  for (const match of code.matchAll(statement)) {
    imports.push({ specifier: match[3]!, typeOnly: match[1] !== undefined });
  }
  for (const match of code.matchAll(/\bimport\(\s*(['"])([^'"]+)\1/g)) {
    imports.push({ specifier: match[2]!, typeOnly: false });
  }
  for (const match of code.matchAll(/\bcreateRequire\(import\.meta\.url\)\(\s*(['"])([^'"]+)\1/g)) {
    imports.push({ specifier: match[2]!, typeOnly: false });
  }
  for (const match of code.matchAll(/\bnew URL\(\s*(['"])(\.[^'"]+)\1,\s*import\.meta\.url/g)) {
    imports.push({ specifier: match[2]!, typeOnly: false });
  }
  return imports;
}

/** The project path a relative specifier means, or undefined for a package. */
export function targetOf(path: string, specifier: string): string | undefined {
  return specifier.startsWith('.') ? normalize(join(dirname(path), specifier)) : undefined;
}

/** `@scope/name/file` and `name/file` are parts of a package. */
export function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
}

/** The code with comments blanked and lines kept; strings, templates and regular expressions stay. */
export function withoutComments(source: string): string {
  return blank(source, (token) => token.startsWith('//') || token.startsWith('/*'));
}

/** The code with comments and the insides of strings blanked: what is left is program. */
export function codeOnly(source: string): string {
  return blank(source, (token) => /^(?:\/\/|\/\*|['"`])/.test(token));
}

const COMMENT = /\/\/[^\n]*|\/\*[\s\S]*?\*\//.source;
const STRING = /'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\[\s\S])*`/.source;
const REGEXP = /(?<=[=(,:[!&|?{};\n]\s*|\breturn\s+)\/(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/
  .source;
const TOKEN = new RegExp(`${COMMENT}|${STRING}|${REGEXP}`, 'g');

function blank(source: string, drop: (token: string) => boolean): string {
  return source.replace(TOKEN, (token) => (drop(token) ? token.replaceAll(/[^\n]/g, ' ') : token));
}
