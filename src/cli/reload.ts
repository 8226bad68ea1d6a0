import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { daemonPlace } from '../operator/channel-access.ts';
import { requestAction } from '../operator/daemon-action.ts';
import { ASK_ONLY, print } from './channel-access.ts';
import type { Command } from './command.ts';

export const reloadCommand: Command = {
  name: 'reload',
  summary: 'have a running daemon read its configuration anew, and say what changed',
  usage: '--config FILE [--dry-run]',
  help: [
    'Works for a proxy, a market maker and an auditor; SIGHUP does the same. OPTIONS.md says of each option whether a reload',
    'changes it; the others are named, and stay until the next start. A file that cannot be read, or with anything wrong in it,',
    'changes nothing. Destinations that stay as they were keep their connections, and miners keep theirs.',
  ],
  options: {
    config: { type: 'string', value: 'FILE', help: 'configuration (TOML) of the daemon' },
    'dry-run': ASK_ONLY,
  },
  run: async (options, io) => {
    const file = options.text('config') ?? io.env['SHARESTREAM_CONFIG'];
    if (file === undefined) throw new CodedError('usage', 'say which daemon: --config FILE');
    const { url, dataDir } = daemonPlace(file, io.env);
    const dryRun = options.flag('dry-run') ? { dry_run: true } : {};
    const answer = await requestAction(url, dataDir, 'config/reload', dryRun);
    print(options, io, answer, reloadText(isRecord(answer) ? answer : {}));
    return 0;
  },
};

type Fields = Readonly<Record<string, unknown>>;

function reloadText(answer: Fields): string {
  const rows = (name: string): readonly Fields[] =>
    (Array.isArray(answer[name]) ? answer[name] : []).filter(isRecord);
  const shown = (value: unknown): string => (typeof value === 'string' ? value : 'nothing');
  const lines = (name: string, word: string): readonly string[] =>
    rows(name).map(
      ({ option, before, after }) => `${word}  ${String(option)}: ${shown(before)} -> ${shown(after)}`,
    );
  return [
    ...(answer['dry_run'] === true ? ['nothing was changed; it would be:'] : []),
    ...lines('changed', 'changed'),
    ...lines('needs_restart', 'restart'),
    `${String(answer['unchanged'])} options are as they were`,
  ].join('\n');
}
