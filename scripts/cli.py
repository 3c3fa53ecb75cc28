"""What the scripts share: options out of the dataclasses, and mistakes answered in one sentence."""
import argparse
import difflib
import inspect
import re
import sys
from dataclasses import fields, replace
from pathlib import Path

import yaml
from jsonargparse import ActionConfigFile

from ssd_nb.plumbing.options import UserError

OTHER_NAMES = dict(num_classes=['class_num']) # the ModelZoo's README uses both


def field_docs(config_class):
    "The comment behind each field of a dataclass, by the field's name"
    return dict(re.findall(r'^ {4}(\w+)\s*:.*?\s#\s(.*)$', inspect.getsource(config_class), flags=re.M))


def add_options(parser, config, unset=False):
    "An option for every field of `config`; with `unset`, one that is left out says nothing instead of the field's value"
    docs, group = field_docs(type(config)), parser.add_argument_group(type(config).__doc__)
    for field in fields(config):
        default = argparse.SUPPRESS if unset else getattr(config, field.name)
        flag = dict(nargs='?', const=True) if field.type is bool else {} # --resume is --resume=True
        names = [f'--{name}' for name in (field.name, *OTHER_NAMES.get(field.name, ()))]
        group.add_argument(*names, type=field.type, default=default, help=docs[field.name], **flag)


def add_config(parser):
    "The option that reads others from a file"
    parser.add_argument('--config', action=ActionConfigFile, help='YAML file with options, such as "lr: 0.05"; what stands behind it on the command line wins')


def from_file(argv=None):
    "What the file of --config holds, before the other options are known; {} without one"
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument('--config')
    path = finder.parse_known_args(argv)[0].config
    if path is None: return {}
    try: content = yaml.safe_load(Path(path).read_text())
    except OSError as error: fail(f'--config={path} cannot be read ({error.strerror}): give a YAML file.')
    except (yaml.YAMLError, UnicodeDecodeError): fail(f'--config={path} is not valid YAML: write a row such as "lr: 0.05" for each option.')
    if not isinstance(content, dict): fail(f'--config={path} holds no options: write a row such as "lr: 0.05" for each.')
    return content


def with_options(config, options):
    "`config` with the options that are fields of it"
    names = {field.name for field in fields(config)}
    return replace(config, **{name: value for name, value in vars(options).items() if name in names})


def explain(message, parser):
    "A parser's complaint as one sentence that says what to do"
    known = [option for action in parser._actions for option in action.option_strings if option.startswith('--')]
    if found := re.search(r'unrecognized arguments: (\S+)', message):
        option = found[1].split('=')[0]
        if not option.startswith('-'): return f"'{option}' is not expected: options look like --lr=0.05, and --help lists them."
        near = difflib.get_close_matches(option, known, n=3)
        return f'there is no option {option}: ' + (f'did you mean {" or ".join(near)}?' if near else '--help lists them.')
    if found := re.search(r"Option '(.+?)' is not accepted", message):
        near = difflib.get_close_matches(f'--{found[1]}', known, n=3)
        return f'--config: there is no option {found[1]}: ' + (f'did you mean {" or ".join(near)}?' if near else '--help lists them.').replace('--', '', 1)
    if found := re.search(r'key "(\w+)":\s*Expected an? (.*?)\. Got value: (.*)', message, flags=re.S):
        name, wanted, value = found.groups()
        return f'--{name}={value.strip()} is not possible: give {wanted_words(name, wanted, value.strip(), parser)}.'
    if found := re.search(r'expected "subcommand" to be one of \{(.*?)\}', message):
        return f'a command is missing or unknown: give one of {found[1].replace(",", ", ")}, and --help says what they do.'
    if found := re.search(r'arguments are required: (.*)', message):
        return f'--{found[1].replace(", ", " and --")} is required: --help says what it is.'
    return ' '.join(message.split())


def wanted_words(name, wanted, value, parser):
    "What an option takes, in words"
    if wanted.startswith('typing.Literal'):
        choices = re.findall(r"'([^']*)'", wanted)
        near = difflib.get_close_matches(value, choices, n=1, cutoff=0.4)
        return f'one of {", ".join(choices)}' + (f' (did you mean {near[0]}?)' if near else '')
    plain = {'int': 'a whole number', 'float': 'a number', 'bool': 'True or False', 'str': 'text', 'tuple': 'a list such as [1,2]'}
    return plain.get(re.sub(r"<class '(\w+)'>", r'\1', wanted), wanted)


def parse(parser, argv=None):
    "The options, or one sentence and exit code 2"
    try: return parser.parse_args(argv)
    except argparse.ArgumentError as error: fail(explain(str(error), parser))


def peek(name, default, choices, argv=None):
    "The value of one option before the others are known, since their defaults depend on it"
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(f'--{name}', default=default)
    value = parser.parse_known_args(argv)[0].__dict__[name]
    if value in choices: return value
    near = difflib.get_close_matches(value or '', choices, n=1, cutoff=0.4)
    fail(f'--{name}={value} is not possible: give one of {", ".join(choices)}' + (f' (did you mean {near[0]}?).' if near else '.'))


def fail(sentence, code=2):
    "Ends the program with a sentence on stderr and an exit code"
    print(f'error: {sentence}' if code == 2 else sentence, file=sys.stderr)
    sys.exit(code)


def run(main):
    "Runs `main`; what the user can mend is said in one sentence, without a traceback"
    try: main()
    except UserError as error: fail(error, getattr(error, 'code', 2))
    except KeyboardInterrupt: sys.exit(130)
