import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { COMMON_OPTIONS } from '../../src/cli/command.ts';
import { loadCommands } from '../../src/cli/commands.ts';
import { completionScript } from '../../src/cli/completion.ts';
import { manualPage } from '../../src/cli/manual.ts';

const commands = await loadCommands();

/** What bash offers behind each of these lines; the last word is the one that is completed. */
function offeredByBash(lines: readonly string[]): readonly (readonly string[])[] {
  const looks = lines.map(
    (line) =>
      `COMP_WORDS=(${line}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _sharestream; echo "= \${COMPREPLY[*]}"`,
  );
  const script = [completionScript('bash', commands), ...looks].join('\n');
  const said = execFileSync('bash', ['--norc', '-c', script], { encoding: 'utf8' });
  return said
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^= ?/, '').split(' '));
}

describe('the completion of bash', () => {
  it('offers every command word by word, and every option of each', () => {
    const wanted: [line: string, word: string][] = commands.flatMap((command) => {
      const words = command.name.split(' ');
      const steps = words.map((word, at): [string, string] => [
        ['sharestream', ...words.slice(0, at), `'${word.slice(0, 1)}'`].join(' '),
        word,
      ]);
      const options = Object.keys({ ...command.options, ...COMMON_OPTIONS });
      return [
        ...steps,
        ...options.map((name): [string, string] => [`sharestream ${command.name} --`, `--${name}`]),
      ];
    });
    const offered = offeredByBash(wanted.map(([line]) => line));
    const missing = wanted.filter(([, word], at) => !offered[at]!.includes(word));
    expect(missing).toEqual([]);
    expect(wanted.length).toBeGreaterThan(200);
  });

  it('offers nothing where a value is due, what an action takes, and no option of another command', () => {
    const [value, action, other] = offeredByBash([
      "sharestream demo --seconds ''",
      'sharestream ledger v',
      'sharestream demo --w',
    ]);
    expect([value, action, other]).toEqual([[''], ['verify'], ['']]);
  });
});

it.each(['zsh', 'fish'] as const)('the completion of %s names every command and option', (shell) => {
  const script = completionScript(shell, commands);
  for (const { name, options } of commands) {
    expect(script).toContain(`'${name.split(' ').slice(0, -1).join(' ')}'`.replace("''", ''));
    for (const option of Object.keys(options))
      expect(script).toContain(shell === 'zsh' ? `'--${option}:` : ` -l ${option} `);
  }
});

describe('the manual page', () => {
  const page = manualPage(commands);

  it('has each command with its options', () => {
    const sections = page.split('\n.SS ');
    expect(sections.length).toBe(commands.length + 1);
    for (const [at, { name, options }] of commands.entries()) {
      const section = sections[at + 1]!.replaceAll('\\-', '-');
      expect(section.startsWith(`sharestream ${name}`)).toBe(true);
      for (const option of Object.keys(options)) expect(section).toContain(`\n.B --${option}`);
    }
  });

  it('has no line that a text makes a macro, and nothing beyond ASCII', () => {
    const macros = /^\.(?:TH|SH|SS|TP|B|I|PP|nf|fi|ad|nh)\b/;
    const strange = page.split('\n').filter((line) => /^[.']/.test(line) && !macros.test(line));
    expect(strange).toEqual([]);
    expect(page).toMatch(/^[\0-\x7f]*$/);
    const said = manualPage([{ ...commands[0]!, help: ['.de of a text, with \\ and ’'] }]);
    expect(said).toContain('\n\\&.de of a text, with \\e and \\[u2019]\n');
  });
});
