import { AuditorCases } from './auditor-cases.ts';
import { AuditorSystem } from './auditor-system.ts';
import { startPage } from './shell.ts';

startPage({
  daemon: 'auditor',
  tabs: [
    { path: 'cases', title: 'Cases', View: AuditorCases },
    { path: 'system', title: 'System', View: AuditorSystem },
  ],
  alertOf: ({ in_default: inDefault }) => (Number(inDefault) > 0 ? 'default' : undefined),
});
