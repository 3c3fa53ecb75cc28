"""Makes a website of the notebooks, as they are saved, that opens without a network."""
import re
import shutil
from configparser import ConfigParser
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from jinja2 import Template
from jsonargparse import ArgumentParser
from latex2mathml.converter import convert as mathml
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from pygments.formatters import HtmlFormatter

import cli
from ssd_nb.plumbing.options import UserError

ROOT = Path(__file__).resolve().parents[1]
READMES = {'README.md': 'readme', 'scripts/README.md': 'commands'}  # and their pages
CODE = r'```.*?```|`[^`\n]*`'      # no mathematics in there
FORMULA = r'\$\$(.+?)\$\$|\$([^$\n]+)\$'
DIRECTIVE = re.compile(r'^\s*#\s*\|\s*(\w+)', flags=re.M)


def settings():
    config = ConfigParser(delimiters=['='])
    config.read(ROOT / 'settings.ini', encoding='utf-8')
    return config['DEFAULT']


def with_mathml(text):
    "Markdown whose formulas are MathML, which browsers draw without help"
    def replace(found):
        if found[0].startswith('`'): return found[0]
        return mathml(found[1] or found[2], display='block' if found[1] else 'inline')
    return re.sub(f'(?s:{CODE})|{FORMULA}', replace, text)


def directives(cell):
    "What nbdev is told about a cell"
    return set(DIRECTIVE.findall(cell.source)) if cell.cell_type == 'code' else set()


def notebook_body(path):
    "HTML of the cells that a reader sees; a cell that the package is made of has the class `exported`"
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if not directives(cell) & {'hide', 'default_exp'}]
    kinds = [directives(cell) for cell in cells]
    for cell in cells:
        if cell.cell_type == 'markdown': cell.source = with_mathml(cell.source)
    notebook.cells = cells
    soup = BeautifulSoup(HTMLExporter(template_name='basic', exclude_input_prompt=True, exclude_output_prompt=True)
                         .from_notebook_node(notebook)[0], 'html.parser')
    for tag, kind in zip(soup.find_all(class_='cell'), kinds, strict=True):
        if 'export' in kind: tag['class'].append('exported')
    return soup


def relinked(soup, folder, source):
    "Links between notebooks lead to their pages, those to other files of the project to its repository"
    pages = {f'{path.stem}.ipynb': f'{path.stem}.html' for path in (ROOT / 'nbs').glob('*.ipynb')}
    for tag, key in [(a, 'href') for a in soup.find_all('a', href=True)] + [(i, 'src') for i in soup.find_all('img', src=True)]:
        address, _, anchor = tag[key].partition('#')
        if not address or re.match(r'\w+:', address): continue
        file = (ROOT / folder / address).resolve().relative_to(ROOT)
        if file.name in pages: tag[key] = pages[file.name] + (f'#{anchor}' if anchor else '')
        elif file.parent.name == 'pictures': tag[key] = f'pictures/{file.name}'
        elif str(file) in READMES: tag[key] = f'{READMES[str(file)]}.html' + (f'#{anchor}' if anchor else '')
        else: tag[key] = f'{source}/{file}'
    return soup


def contents(soup):
    "The second-level headings, as (anchor, text)"
    return [(tag['id'], tag.get_text().removesuffix('¶').strip()) for tag in soup.find_all('h2', id=True)]


def write_page(folder, name, soup, template, **more):
    "One page; `name` is that of its file without the ending"
    heading = soup.find('h1')
    title = heading.get_text().removesuffix('¶').strip()
    style = HtmlFormatter(style='default').get_style_defs('.highlight')
    (folder / f'{name}.html').write_text(template.render(name=name, title=title, body=str(soup), contents=contents(soup), style=style, **more), encoding='utf-8')


def readme_body(path):
    "HTML of a README, with the anchors at its headings that a code host gives them"
    soup = BeautifulSoup(markdown2html(path.read_text(encoding='utf-8')), 'html.parser')
    for own in soup.find_all(class_='anchor-link'): own.decompose()
    for tag in soup.find_all(['h1', 'h2', 'h3']): tag['id'] = tag.get_text().strip().lower().replace(' ', '-')
    return soup


def build(folder):
    "Writes all pages into a folder; the number of pages"
    notebooks = sorted((ROOT / 'nbs').glob('*.ipynb'))
    if not notebooks: raise UserError(f'{ROOT / "nbs"} holds no notebooks: run the script of a whole checkout.')
    folder.mkdir(parents=True, exist_ok=True)
    known, template = settings(), Template((ROOT / 'scripts/site_page.html').read_text(encoding='utf-8'), autoescape=False)
    source = f"{known['git_url']}/blob/{known['branch']}"
    shared = dict(pages=[path.stem for path in notebooks if path.stem != 'index'], git_url=known['git_url'], source=source)
    for path in notebooks: write_page(folder, path.stem, relinked(notebook_body(path), 'nbs', source), template, origin=f'nbs/{path.name}', **shared)
    for path, name in READMES.items():
        write_page(folder, name, relinked(readme_body(ROOT / path), Path(path).parent, source), template, origin=path, **shared)
    shutil.copytree(ROOT / 'nbs/pictures', folder / 'pictures', dirs_exist_ok=True)
    return len(notebooks) + len(READMES)


def main():
    parser = ArgumentParser(prog='build_site.py', description=__doc__, exit_on_error=False, allow_abbrev=False)
    parser.add_argument('folder', type=str, nargs='?', default='site', help='where to write the pages')
    folder = Path(cli.parse(parser).folder)
    print(f'{build(folder)} pages: open {folder / "index.html"}')


if __name__ == '__main__':
    cli.run(main)
