import type { Role } from './config.ts';
import { optionsOf } from './load.ts';
import { ENV_PREFIX, fileKey, flatRows, isLive, type Nodes, type Row, shownRows } from './options.ts';
import { tomlValue } from './reader.ts';

const LINE_CHARS = 100;

/**
 * The text of `config/<role>.example.toml`: every option, with its default, or commented out with an example.
 */
export function exampleToml(role: Role): string {
  const title = { proxy: 'Stratum proxy of a miner', maker: 'market maker', auditor: 'auditor' }[role];
  const intro =
    `Sharestream, ${title}. Every option with its default; what is commented out has none and shows an example. ` +
    `An option can also be set in the environment (${ENV_PREFIX}LOG__LEVEL=debug), which wins over this file. ` +
    'Secrets are read from files.';
  return `${comment(intro).join('\n')}\n${exampleNodes(optionsOf(role), '')}`;
}

/** @param isOff within a list that may be empty: then nothing of it is in force */
function exampleNodes(nodes: Nodes, prefix: string, isOff = false): string {
  return Object.entries(nodes)
    .map(([key, node]) => {
      const path = prefix + fileKey(key);
      if (node.node === 'row') return `\n${exampleRow(node, fileKey(key), isOff)}\n`;
      const header = node.node === 'tables' ? `[[${path}]]` : `[${path}]`;
      const isEmpty = isOff || (node.node === 'tables' && node.min === 0);
      const shown = isEmpty ? `# ${header}` : header;
      const rows = node.node === 'tables' ? shownRows(node) : node.rows;
      return `\n${comment(node.doc).join('\n')}\n${shown}\n${exampleNodes(rows, `${path}.`, isEmpty)}`;
    })
    .join('');
}

function exampleRow(row: Row<unknown>, key: string, isOff: boolean): string {
  const value = row.default ?? row.example ?? '';
  const line = `${key} = ${tomlValue(value)}`;
  const isInForce = !isOff && (row.default !== undefined || row.required);
  return [...comment(`${row.doc} (${kindText(row)})`), isInForce ? line : `# ${line}`].join('\n');
}

function kindText(row: Row<unknown>): string {
  const least = row.min === undefined ? '' : `, at least ${tomlValue(row.min)}`;
  const most = row.max === undefined ? '' : `, at most ${tomlValue(row.max)}`;
  return `${row.kind.name}${least}${most}${row.required ? ', required' : ''}`;
}

function comment(text: string): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const line = lines.at(-1)!;
    if (line.length + word.length + 3 > LINE_CHARS) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines.map((line) => `# ${line}`);
}

/** The options of a role as a Markdown table, for `config/OPTIONS.md`. */
export function optionTable(role: Role): string {
  const nodes = optionsOf(role);
  const rows = flatRows(nodes).map(({ path, row }) => {
    const value =
      row.default === undefined ? (row.required ? 'required' : '') : `\`${tomlValue(row.default)}\``;
    const when = isLive(nodes, path) ? 'reload' : 'start';
    const cells = [`\`${path}\``, row.kind.name, value, when, row.doc];
    return `| ${cells.join(' | ')} |`.replaceAll('[[', '\\[\\[');
  });
  return `${['| Option | Kind | Default | Read at | Meaning |', '|---|---|---|---|---|', ...rows].join('\n')}\n`;
}
