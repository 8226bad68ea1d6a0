import { CodedError } from '../base/errors.ts';
import { COMMON_OPTIONS, type Command, type OptionSpec } from './command.ts';

/** What may come next behind some words: the next word, or an option. */
type Place = {
  /** The words of the commands so far; none at the beginning. */
  readonly path: string;
  readonly words: readonly { readonly word: string; readonly help: string }[];
  readonly options: readonly { readonly name: string; readonly spec: OptionSpec }[];
};

const SHELLS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

export const completionCommand = (load: () => Promise<readonly Command[]>): Command => ({
  name: 'completion',
  summary: 'prints what completes commands and options in a shell',
  usage: 'bash|zsh|fish',
  words: 1,
  help: [
    'bash  sharestream completion bash > ~/.local/share/bash-completion/completions/sharestream',
    'zsh   sharestream completion zsh > a folder of $fpath/_sharestream',
    'fish  sharestream completion fish > ~/.config/fish/completions/sharestream.fish',
  ],
  options: {},
  async run({ positionals: [shell = ''], flag }, io) {
    if (!Object.hasOwn(SHELLS, shell)) {
      throw new CodedError('usage', `completion is for ${Object.keys(SHELLS).join(', ')}`);
    }
    const script = completionScript(shell as keyof typeof SHELLS, await load());
    io.stdout.write(flag('json') ? `${JSON.stringify({ shell, script })}\n` : script);
    return 0;
  },
});

/** The script by which a shell completes these commands. */
export function completionScript(shell: keyof typeof SHELLS, commands: readonly Command[]): string {
  const places = placesOf(commands);
  return `${SHELLS[shell](places)}\n`;
}

function placesOf(commands: readonly Command[]): readonly Place[] {
  const paths = new Set(
    commands.flatMap(({ name }) => {
      const parts = name.split(' ');
      return parts.map((_, count) => parts.slice(0, count).join(' ')).concat(name);
    }),
  );
  return [...paths].toSorted().map((path) => {
    const command = commands.find(({ name }) => name === path);
    const specs = command === undefined ? {} : { ...command.options, ...COMMON_OPTIONS };
    const options = Object.entries(specs).map(([name, spec]) => ({ name, spec }));
    return { path, words: [...wordsBehind(path, commands), ...actionsOf(command)], options };
  });
}

function wordsBehind(path: string, commands: readonly Command[]): Place['words'] {
  const depth = path === '' ? 0 : path.split(' ').length;
  const below = commands.filter(({ name }) => path === '' || name.startsWith(`${path} `));
  const words = [...new Set(below.map(({ name }) => name.split(' ')[depth]!))];
  return words.map((word) => {
    const whole = below.find(({ name }) => name.split(' ').slice(depth).join(' ') === word);
    const rest = below.map(({ name }) => name.split(' ').slice(depth)).filter(([first]) => first === word);
    const help = whole?.summary ?? rest.map((names) => names.slice(1).join(' ')).join(', ');
    return { word, help };
  });
}

/** The words of which a command takes one: what its usage begins with. */
function actionsOf(command: Command | undefined): Place['words'] {
  const first = command?.usage.split(' ')[0] ?? '';
  if (!/^[a-z-]+(?:\|[a-z-]+)+$/.test(first)) return [];
  return first.split('|').map((word) => ({ word, help: '' }));
}

const isFile = ({ value }: OptionSpec): boolean => /FILE|DIR|FOLDER/.test(value ?? '');

/** Options of all commands that a value follows, by whether it names a file. */
function valueOptions(places: readonly Place[], ofFiles: boolean): readonly string[] {
  const options = places
    .flatMap((place) => place.options)
    .filter(({ spec }) => spec.type === 'string' && isFile(spec) === ofFiles);
  return [...new Set(options.map(({ name }) => `--${name}`))].toSorted();
}

const ends = (place: Place): string[] => place.options.map(({ name }) => `--${name}`);
const known = (places: readonly Place[]): string[] =>
  places.filter(({ path }) => path !== '').map(({ path }) => `'${path}'`);

function bashScript(places: readonly Place[]): string {
  const rows = places.map(
    (place) =>
      `    '${place.path}') words='${[...place.words.map(({ word }) => word), ...ends(place)].join(' ')}' ;;`,
  );
  return `# bash completion of sharestream
_sharestream() {
  local word="\${COMP_WORDS[COMP_CWORD]}" before="\${COMP_WORDS[COMP_CWORD - 1]}" path='' next words='' at
  for ((at = 1; at < COMP_CWORD; at++)); do
    next="\${path:+$path }\${COMP_WORDS[at]}"
    case "$next" in
      ${known(places).join(' | ')}) path="$next" ;;
      *) break ;;
    esac
  done
  COMPREPLY=()
  case "$before" in
    ${valueOptions(places, true).join(' | ')})
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -f -- "$word")
      return
      ;;
    ${valueOptions(places, false).join(' | ')}) return ;;
  esac
  case "$path" in
${rows.join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _sharestream sharestream`;
}

/** A text between single quotes, in which a colon would end the word. */
const zshChoice = (word: string, help: string): string =>
  `'${word.replaceAll(':', '\\:')}:${help.replaceAll("'", "'\\''")}'`;

function zshScript(places: readonly Place[]): string {
  const rows = places.map((place) => {
    const words = place.words.map(({ word, help }) => zshChoice(word, help));
    const options = place.options.map(({ name, spec }) => zshChoice(`--${name}`, spec.help));
    return `    ('${place.path}') choices=(${[...words, ...options].join(' ')}) ;;`;
  });
  return `#compdef sharestream
_sharestream() {
  local place='' next
  local -a choices
  integer at
  for ((at = 2; at < CURRENT; at++)); do
    next="\${place:+$place }$words[at]"
    case "$next" in
      (${known(places).join('|')}) place="$next" ;;
      (*) break ;;
    esac
  done
  case "$words[CURRENT-1]" in
    (${valueOptions(places, true).join('|')}) _files; return ;;
    (${valueOptions(places, false).join('|')}) return ;;
  esac
  case "$place" in
${rows.join('\n')}
  esac
  _describe sharestream choices
}
_sharestream "$@"`;
}

const fishText = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

function fishScript(places: readonly Place[]): string {
  const rows = places.flatMap(({ path, words, options }) => {
    const at = `complete -c sharestream -n ${fishText(`__sharestream_at '${path}'`)}`;
    return [
      ...words.map(({ word, help }) => `${at} -a ${word} -d ${fishText(help)}`),
      ...options.map(({ name, spec }) => {
        const value = spec.type === 'boolean' ? '' : isFile(spec) ? ' -r -F' : ' -x';
        return `${at} -l ${name}${value} -d ${fishText(spec.help)}`;
      }),
    ];
  });
  return `# fish completion of sharestream
function __sharestream_at
  set -l place ''
  for word in (commandline -opc)[2..-1]
    set -l next (string trim -- "$place $word")
    contains -- $next ${known(places).join(' ')}; or break
    set place $next
  end
  test "$place" = "$argv[1]"
end
complete -c sharestream -f
${rows.join('\n')}`;
}
