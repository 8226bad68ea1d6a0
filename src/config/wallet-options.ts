import { option, optional, section } from './options.ts';
import { choice, hex, PATH, TEXT } from './values.ts';

/** `[wallet]`: where the money for channels comes from. */
export const WALLET = section(
  'Where the money of fundings comes from, and where closed channels pay it back.',
  {
    type: option(choice('key', 'node', 'file'), 'key', {
      doc: 'The key of the seed; a wallet of the bitcoin node; or any wallet, by PSBT files.',
    }),
    name: optional(TEXT, 'sharestream', {
      doc: 'Type node: the wallet of the bitcoin node, loaded and unlocked. It signs there.',
    }),
    xpub: optional(TEXT, 'xpub6CatWdiZiodmUeTDp8LT5or8nmbKN...', {
      doc: 'Type file: the extended public key of the account. Its first address holds the coins.',
    }),
    fingerprint: optional(hex(4), '73c5da0a', {
      doc: "Type file: fingerprint of the wallet's master key, for hardware.",
    }),
    path: optional(TEXT, "m/84'/0'/0'", { doc: 'Type file: from the master key to the account.' }),
    folder: optional(PATH, 'psbt', {
      doc: 'Type file: folder of `<contract>.psbt` to sign, and of the answer `<contract>.signed.psbt`. Default: `psbt` in data_dir.',
    }),
  },
);
