"""Makes a website of the notebooks, as they are saved, that opens without a network."""
import argparse
import re
import shutil
from configparser import ConfigParser
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from jinja2 import Template
from latex2mathml.converter import convert as mathml
from markupsafe import Markup
from nbconvert import HTMLExporter
from nbconvert.filters import markdown2html
from pygments.formatters import HtmlFormatter

from live_site import HERE, place_sliders, write_live, write_sliders
from ssd_nb.plumbing.options import UserError, run_command

ROOT = Path(__file__).resolve().parents[2]
NBS = ROOT / 'nbs'
READMES = {'README.md': 'readme', 'scripts/README.md': 'commands'}  # and their pages
CODE = r'```.*?```|`[^`\n]*`'      # no mathematics in there
FORMULA = r'\$\$(.+?)\$\$|\$([^$\n]+)\$'
WIDGET = 'application/vnd.jupyter.widget-view+json'  # needs a kernel; its text is `interactive(children=...`
DIRECTIVE = re.compile(r'^\s*#\s*\|\s*(\w+)', flags=re.M)


def settings():
    config = ConfigParser(delimiters=['='])
    config.read(ROOT / 'settings.ini', encoding='utf-8')
    return config['DEFAULT']


def draw_formulas(text):
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
        if cell.cell_type == 'markdown': cell.source = draw_formulas(cell.source)
        else: cell.outputs = [output for output in cell.outputs if WIDGET not in output.get('data', {})]
    notebook.cells = cells
    exporter = HTMLExporter(template_name='basic', exclude_input_prompt=True, exclude_output_prompt=True)
    soup = BeautifulSoup(exporter.from_notebook_node(notebook)[0], 'html.parser')
    for tag, kind in zip(soup.find_all(class_='cell'), kinds, strict=True):
        if 'export' in kind: tag['class'].append('exported')
    return soup


def find_notebooks():
    "The notebooks, those of the line first"
    found = [path for path in NBS.rglob('*.ipynb') if '.ipynb_checkpoints' not in path.parts]
    return sorted(found, key=lambda path: (len(path.parts), path))


def page_name(path):
    "Name of a notebook's page, without the ending: plumbing/records.ipynb becomes plumbing_records"
    return '_'.join(path.relative_to(NBS).with_suffix('').parts)


def relink(soup, folder, source):
    "Links between notebooks lead to their pages, those to other files of the project to its repository"
    pages = {path: f'{page_name(path)}.html' for path in find_notebooks()}
    pages |= {ROOT / path: f'{name}.html' for path, name in READMES.items()}
    links = [(a, 'href') for a in soup.find_all('a', href=True)] + [(i, 'src')
                                                                    for i in soup.find_all('img', src=True)]
    for tag, key in links:
        address, _, anchor = tag[key].partition('#')
        if not address or re.match(r'\w+:', address): continue
        file = (ROOT / folder / address).resolve()
        if file in pages: tag[key] = pages[file] + (f'#{anchor}' if anchor else '')
        elif file.parent.name == 'pictures': tag[key] = f'pictures/{file.name}'
        else: tag[key] = f'{source}/{file.relative_to(ROOT)}'
    return soup


def contents(soup):
    "The second-level headings, as (anchor, text)"
    return [(tag['id'], tag.get_text().removesuffix('¶').strip()) for tag in soup.find_all('h2', id=True)]


def write_page(folder, name, soup, template, scripts=(), **more):
    "One page; `name` is that of its file without the ending"
    heading = soup.find('h1')
    title = heading.get_text().removesuffix('¶').strip()
    light, dark = (Markup(HtmlFormatter(style=style).get_style_defs('.highlight'))
                   for style in ('default', 'github-dark'))
    page = template.render(name=name, title=title, body=Markup(soup), contents=contents(soup),
                           style=light, dark_style=dark, scripts=scripts, **more)
    (folder / f'{name}.html').write_text(page, encoding='utf-8')


def readme_body(path):
    "HTML of a README, with the anchors at its headings that a code host gives them"
    soup = BeautifulSoup(markdown2html(path.read_text(encoding='utf-8')), 'html.parser')
    for own in soup.find_all(class_='anchor-link'): own.decompose()
    for tag in soup.find_all(['h1', 'h2', 'h3']): tag['id'] = tag.get_text().strip().lower().replace(' ', '-')
    return soup


def open_template():
    "The frame of every page; titles, names and links are text, what is HTML says so"
    return Template((Path(__file__).parent / 'site_page.html').read_text(encoding='utf-8'), autoescape=True)


def name_pages(notebooks):
    "What every page says about the others"
    known, names = settings(), [page_name(path) for path in notebooks if path.stem != 'index']
    return dict(pages=[name for name in names if not name.startswith('plumbing_')],
                plumbing=[name for name in names if name.startswith('plumbing_')],
                git_url=known['git_url'], source=f"{known['git_url']}/blob/{known['branch']}")


def write_detector(folder, template, detectors, **shared):
    "The page on which a detector runs; sentences about what it lacks"
    missing = write_live(folder / 'live', detectors)
    text = Template((HERE / 'detector.html').read_text(encoding='utf-8'), autoescape=True)
    body = BeautifulSoup(text.render(missing=missing), 'html.parser')
    scripts = [f'live/{name}.js' for name in ('boxes', 'ort', 'models', 'images', 'detector')]
    write_page(folder, 'detector', body, template, [name for name in scripts if (folder / name).is_file()],
               origin='scripts/maintain/site/detector.html', **shared)
    return missing


def write_notebook(folder, path, template, **shared):
    "The page of a notebook, with sliders where it has some that need no kernel"
    soup = relink(notebook_body(path), path.parent.relative_to(ROOT), shared['source'])
    scripts = place_sliders(soup, page_name(path))
    write_page(folder, page_name(path), soup, template, scripts, origin=str(path.relative_to(ROOT)), **shared)


def build(folder, detectors=None):
    "Writes all pages into a folder; the number of pages, and sentences about what is missing"
    notebooks = find_notebooks()
    if not notebooks: raise UserError(f'{NBS} holds no notebooks: run the script of a whole checkout.')
    folder.mkdir(parents=True, exist_ok=True)
    template, shared = open_template(), name_pages(notebooks)
    source = shared['source']
    write_sliders(folder / 'live')
    for path in notebooks: write_notebook(folder, path, template, **shared)
    for path, name in READMES.items():
        soup = relink(readme_body(ROOT / path), Path(path).parent, source)
        write_page(folder, name, soup, template, origin=path, **shared)
    shutil.copytree(NBS / 'pictures', folder / 'pictures', dirs_exist_ok=True)
    missing = write_detector(folder, template, detectors, **shared)
    return len(notebooks) + len(READMES) + 1, missing


def build_site(words):
    "makes the website"
    parser = argparse.ArgumentParser(prog='build_site.py', description=__doc__)
    parser.add_argument('folder', type=Path, nargs='?', default=Path('site'),
                        help='where to write the pages (site)')
    parser.add_argument('--detector', type=Path, action='append',
                        help='a .ckpt, or an .onnx with its json, that a page runs; may be given several '
                             'times (runs/quickstart/ssd_tiny.ckpt and runs/detectors/*.onnx)')
    given = parser.parse_args(words)
    pages, missing = build(given.folder, given.detector)
    for sentence in missing: print(f'warning: {sentence}')
    print(f'{pages} pages: open {given.folder / "index.html"}')


if __name__ == '__main__':
    run_command(build_site)
