import { startMaker } from '../daemon/maker.ts';
import type { Command } from './command.ts';
import { SERVE_OPTIONS, serve } from './serve.ts';

export const makerCommand: Command = {
  name: 'maker',
  summary: 'buy work: verify the shares of miners and sign their channel states',
  usage: '--config FILE',
  help: [
    'Runs until SIGINT or SIGTERM. With --json, one line on standard output says where it listens.',
    '`sharestream config sample maker` prints a commented configuration.',
  ],
  options: SERVE_OPTIONS,
  takesSettings: true,
  run: (options, io) => serve('maker', options, io, startMaker),
};
