import { startProxy } from '../daemon/proxy.ts';
import type { Command } from './command.ts';
import { SERVE_OPTIONS, serve } from './serve.ts';

export const proxyCommand: Command = {
  name: 'proxy',
  summary: 'serve miners: verify their shares, forward them, and sell the work',
  usage: '--config FILE',
  help: [
    'Runs until SIGINT or SIGTERM. With --json, one line on standard output says where it listens.',
    '`sharestream config sample proxy` prints a commented configuration.',
  ],
  options: SERVE_OPTIONS,
  takesSettings: true,
  run: (options, io) => serve('proxy', options, io, startProxy),
};
