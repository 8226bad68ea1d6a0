import { CodedError } from '../base/errors.ts';
import { systemTimers } from '../base/system-timers.ts';
import type { MakerConfig, ProxyConfig, Role } from '../config/config.ts';
import { type ConfigInput, openConfig } from '../config/load.ts';
import { describeProblem, type Problem } from '../config/problems.ts';
import { type Diagnosis, verdictOf } from '../daemon/diagnosis.ts';
import { diagnose } from '../daemon/doctor.ts';
import { print, secondsOption } from './channel-access.ts';
import { findingsOf } from './checked-config.ts';
import type { Command } from './command.ts';

const TIMEOUT_SECONDS = 15;

export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'look at all that a daemon depends on, and say what to do about what is wrong',
  usage: 'proxy|maker [--config FILE] [--timeout SECONDS]',
  words: 1,
  takesSettings: true,
  help: [
    'Ports, clocks, bitcoin nodes (reachable, in step, what they do about version 3 and replacement), how long a durable write',
    'takes, room on the disk, SQLite, modes of files, every upstream until it gives work, the market maker of the contract.',
    'Each line is ok, warn or fail, with what to do. It changes nothing, also beside the running daemon, and ends in time.',
    'Exit code 0 without a fail, else 1.',
  ],
  options: {
    config: { type: 'string', value: 'FILE', help: 'configuration (TOML)' },
    timeout: {
      type: 'string',
      value: 'SECONDS',
      help: `for each check, all at once (default ${TIMEOUT_SECONDS})`,
    },
  },
  run: async (options, io) => {
    const [role] = options.positionals;
    if (role !== 'proxy' && role !== 'maker')
      throw new CodedError('usage', 'say which role: proxy or maker');
    const file = options.text('config') ?? io.env['SHARESTREAM_CONFIG'];
    const input = { ...(file === undefined ? {} : { file }), env: io.env, flags: options.settings };
    const { config, found } = configured(role, input);
    const timeoutMs = 1000 * Math.max(1, secondsOption(options, 'timeout') ?? TIMEOUT_SECONDS);
    const deps = { timers: systemTimers, env: io.env, nowMs: () => Date.now(), timeoutMs };
    const all = [...found, ...(await diagnose(config, file, deps))];
    const verdict = verdictOf(all);
    print(options, io, { verdict, checks: all }, all.map(lineOf).join('\n'));
    return verdict === 'fail' ? 1 : 0;
  },
};

function configured(
  role: Exclude<Role, 'auditor'>,
  input: ConfigInput,
): { readonly config: ProxyConfig | MakerConfig; readonly found: readonly Diagnosis[] } {
  const opened = openConfig(role, input);
  const { problems, warnings } = findingsOf(role, opened);
  const check = 'configuration';
  const hint = 'correct it; `sharestream config check` says more';
  const found = [
    ...problems.map((problem): Diagnosis => ({ ...ofProblem(problem), verdict: 'fail', hint })),
    ...warnings.map((problem): Diagnosis => ({ ...ofProblem(problem), verdict: 'warn', hint })),
  ];
  const sound: Diagnosis = { check, verdict: 'ok', text: 'it is valid' };
  return { config: opened.config, found: found.length === 0 ? [sound] : found };
}

function ofProblem(problem: Problem): Pick<Diagnosis, 'check' | 'text' | 'code'> {
  const code = problem.isPlaceholder === true ? 'config_placeholder' : 'config_invalid';
  return { check: 'configuration', text: describeProblem(problem), code };
}

function lineOf({ check, verdict, text, code, hint }: Diagnosis): string {
  const head = `${verdict.padEnd(4)}  ${check}: ${text}${code === undefined ? '' : ` (${code})`}`;
  return hint === undefined ? head : `${head}\n      ${hint}`;
}
