import { startAuditor } from '../daemon/auditor.ts';
import type { Command } from './command.ts';
import { SERVE_OPTIONS, serve } from './serve.ts';

export const auditorCommand: Command = {
  name: 'auditor',
  summary: 'rule on the bonds of contracts by the minute logs of both sides, without a human typing',
  usage: '--config FILE',
  help: [
    'Takes the signed minute logs of contracts whose terms name its key, from both sides as they come, keeps them in its own',
    'ledger, and signs the spend of a bond to the side that is right once the other is in default by the published rule',
    '(MARKET.md, Delivery). It says `undecided` where the logs do not decide; then each owner has its bond after the delay.',
    'It holds no money: two of three keys spend a bond. `sharestream keys show auditor` prints the key for the terms.',
    '',
    'Runs until SIGINT or SIGTERM. With --json, one line on standard output says where it listens.',
    '`sharestream config sample auditor` prints a commented configuration.',
  ],
  options: SERVE_OPTIONS,
  takesSettings: true,
  run: (options, io) => serve('auditor', options, io, startAuditor),
};
