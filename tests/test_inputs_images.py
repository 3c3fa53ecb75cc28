"""Pictures as people bring them: turned, damaged, dark, of any ending and folder; and what predict does."""
import io
import json
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from make_sets import draw_patch, measure_brightness, write_image
from PIL import Image

from ssd_nb.plumbing.images import (
    decode_image, examine_image, find_damage, find_darkness, is_image, read_orientation, read_size,
        turn_boxes,
    turn_image)
from ssd_nb.plumbing.options import UserError

UP = draw_patch() # (60, 80, 3) as it stands upright, with a bright patch in BOX
BOX = 10, 20, 40, 50
PHOTO = cv2.resize(np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8), (320, 240),
                   interpolation=cv2.INTER_CUBIC)
FORMS = {'.jpg': dict(quality=95), '.png': {}, '.webp': dict(lossless=True), '.tif': {},
         '.tiff': dict(compression='tiff_lzw')}
KINDS = {'.jpg': 'JPEG', '.png': 'PNG', '.webp': 'WEBP', '.tif': 'TIFF', '.tiff': 'TIFF', '.bmp': 'BMP'}
BACK = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6} # what undoes a turn


def encode(ending, image=PHOTO, orientation=0, mode=None, **options):
    "The bytes of a file"
    file, picture, exif = io.BytesIO(), Image.fromarray(image), Image.Exif()
    if orientation: exif[0x0112] = orientation
    (picture.convert(mode) if mode else picture).save(
        file, KINDS[ending], **options, **dict(exif=exif) if orientation else {})
    return file.getvalue()


@pytest.mark.parametrize('ending', FORMS)
@pytest.mark.parametrize('orientation', range(1, 9))
def test_every_form_comes_upright(ending, orientation, tmp_path):
    data = encode(ending, turn_image(UP, BACK[orientation]), orientation, **FORMS[ending])
    assert read_orientation(data) == read_orientation(np.frombuffer(data, np.uint8)) == orientation
    image = decode_image(data)
    assert image.shape == UP.shape and abs(image.astype(int) - UP).mean() < 2
    assert measure_brightness(image, BOX) > 0.95
    (tmp_path / f'a{ending}').write_bytes(data)
    assert read_size(tmp_path / f'a{ending}') == (60, 80)
    assert examine_image(data) == ((60, 80), '')


@pytest.mark.parametrize('orientation', range(1, 9))
def test_boxes_go_with_their_picture(orientation):
    stored = turn_image(UP, BACK[orientation])
    back = turn_boxes([BOX], BACK[orientation], stored.shape[:2])
    assert measure_brightness(stored, back[0]) == 1
    assert turn_boxes(back, orientation, UP.shape[:2]).tolist() == [list(BOX)]
    assert turn_boxes(np.zeros((0, 4)), orientation, (60, 80)).shape == (0, 4)


def in_jpeg(block, before=b''):
    "A JPEG whose EXIF block is this"
    data = encode('.jpg', UP, quality=95)
    return data[:2] + before + b'\xff\xe1' + struct.pack('>H',
        len(block) + 8) + b'Exif\0\0' + block + data[2:]


def block(order='<', kind=3, number=6, entries=1, first=8):
    "An EXIF block with one entry"
    value = struct.pack(order + {1: 'Bxxx', 3: 'Hxx', 4: 'I', 2: '4s'}[kind], b'6' if kind == 2 else number)
    return {'<': b'II*\0', '>': b'MM\0*'}[order] + struct.pack(f'{order}I', first) + struct.pack(
        f'{order}HHHI', entries, 0x0112, kind, 1) + value


XMP = b'\xff\xe1\0\x22http://ns.adobe.com/xap/1.0/\0<x>'
JFIF = b'\xff\xe0\0\x10JFIF\0\1\1\0\0\1\0\1\0\0'
EXIF = {
    'little endian': (in_jpeg(block()), 6), 'big endian': (in_jpeg(block('>')), 6),
    'a long number': (in_jpeg(block(kind=4)), 6), 'a byte': (in_jpeg(block('>', kind=1)), 6),
    'a text': (in_jpeg(block(kind=2)), 1), 'zero': (in_jpeg(block(number=0)), 1),
    'nine': (in_jpeg(block(number=9)), 1),
    'cut off': (in_jpeg(block()[:14]), 1), 'empty': (in_jpeg(b''), 1), 'garbage': (in_jpeg(b'\xff' * 30), 1),
    'leads outside': (in_jpeg(block(first=5000)), 1), 'many entries': (in_jpeg(block(entries=60000)), 6),
    'behind XMP': (in_jpeg(block(), XMP), 6), 'behind JFIF': (in_jpeg(block(), JFIF), 6),
    'behind filling bytes': (in_jpeg(block(), b'\xff\xff\xff'), 6),
    'in the pixels': (encode('.jpg') + in_jpeg(block()), 1),
}


@pytest.mark.parametrize('name', EXIF)
def test_exif_as_cameras_write_it(name):
    data, orientation = EXIF[name]
    assert read_orientation(data) == orientation
    shape = (80, 60, 3) if orientation == 6 else (60, 80, 3)
    if name != 'in the pixels': assert decode_image(data).shape == shape


STUMPS = (b'', b'\xff', b'\xff\xd8', b'\xff\xd8\xff', b'\x89PNG', b'RIFF\0\0\0\0WEBP', b'II*\0', b'MM\0*\0\0')


@pytest.mark.parametrize('data', STUMPS)
def test_stumps_say_nothing_of_their_orientation(data):
    assert read_orientation(data) == 1
    with pytest.raises(UserError, match='^a.jpg is not an image that OpenCV can read'): decode_image(data,
        'a.jpg')


NAMES = {'a.jpg': True, 'a.JPG': True, 'a.Jpeg': True, 'a.jfif': True, 'a.jpe': True, 'a.png': True,
    'a.PNG': True,
         'a b.webp': True, 'ä#1%20.tif': True, '图.TIFF': True, 'a.bmp': True, 'a.dib': True, 'a.pgm': True,
         'a.jp2': True,
         '._a.jpg': False, '.jpg': False, 'a.txt': False, 'a.heic': False, 'a.svg': False, 'a.mp4': False,
         'jpg': False}


@pytest.mark.parametrize('name', NAMES)
def test_endings_of_images(name): assert is_image(f'x/{name}') == NAMES[name]


ENDINGS = '.jpg .jpeg .jpe .png .bmp .dib .webp .tif .tiff .jp2 .ppm .pnm .sr .ras'.split()


@pytest.mark.parametrize('ending', ENDINGS)
def test_what_opencv_writes_is_whole_and_half_of_it_is_not(ending):
    data = cv2.imencode(ending, PHOTO)[1].tobytes()
    assert find_damage(data) == '' and examine_image(data) == ((240, 320), '')
    with pytest.raises(UserError, match='^a (is cut short|is not an image that OpenCV can read)'):
        examine_image(data[:len(data) // 2], 'a')


JPEG, PNG, BMP = encode('.jpg', quality=90), encode('.png'), encode('.bmp')


def punch(data, size, at=0.5):
    "Zeros inside of a file"
    middle = int(len(data) * at)
    return data[:middle] + bytes(size) + data[middle + size:]


def bend(data, at=0.5):
    "One bit of a file is another one"
    middle = int(len(data) * at)
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1:]


def with_thumbnail(data):
    small = encode('.jpg', PHOTO[::4, ::4].copy())
    return data[:2] + b'\xff\xe1' + struct.pack('>H', len(small) + 8) + b'Exif\0\0' + small + data[2:]


def chunk(name, content, checksum=None):
    checksum = checksum or struct.pack('>I', zlib.crc32(name + content))
    return struct.pack('>I', len(content)) + name + content + checksum


SOUND = {
    'grey': encode('.jpg', mode='L'), 'CMYK': encode('.jpg', mode='CMYK'),
    'progressive': encode('.jpg', progressive=True),
    '4:4:4': encode('.jpg', subsampling=0), '4:2:2': encode('.jpg', subsampling=1),
    'restarts': encode('.jpg', restart_marker_blocks=4),
    'optimised': encode('.jpg', optimize=True), 'zeros behind': JPEG + bytes(500),
    'text behind': JPEG + b'made by me' * 9,
    'a second picture behind': JPEG + encode('.jpg', quality=20), 'an end mark behind': JPEG + b'\xff\xd9',
    'a film behind': JPEG + b'\0\0\0\x18ftypmp42' + bytes(range(256)) * 9,
    'a thumbnail': with_thumbnail(JPEG),
    'filled up before the end': JPEG[:-2] + bytes(9) + b'\xff\xd9',
    'a thumbnail, filled up': with_thumbnail(JPEG)[:-2] + bytes(9) + b'\xff\xd9',
    'bytes before the tables': JPEG[:20] + bytes(3) + JPEG[20:],
    'padding before the tables': JPEG[:20] + b'\xff\xff\xff' + JPEG[20:],
    'odd Adobe mark': JPEG[:20] + b'\xff\xee\0\x0eAdobe\0d\0\0\0\0\1' + JPEG[20:],
    'PNG with zeros behind': PNG + bytes(50), 'PNG palette': encode('.png', mode='P'),
    'PNG grey': encode('.png', mode='L'),
    'PNG alpha': encode('.png', mode='RGBA'), 'PNG 1 bit': encode('.png', mode='1'),
    'PNG text with a wrong checksum': PNG[:33] + chunk(b'tEXt', b'a\0b', b'\1\2\3\4') + PNG[33:],
    'BMP with zeros behind': BMP + bytes(50), 'BMP that says no length': BMP[:2] + bytes(4) + BMP[6:],
    'BMP palette': encode('.bmp', mode='P'),
    'WebP with zeros behind': encode('.webp') + bytes(50), 'WebP lossless': encode('.webp', lossless=True),
    'TIFF deflate': encode('.tif', compression='tiff_adobe_deflate'), 'TIFF grey': encode('.tif', mode='L'),
}
DAMAGED = {
    'end mark missing': (JPEG[:-2], 'is cut short'), 'a byte missing': (JPEG[:-1], 'is cut short'),
    'half': (JPEG[:len(JPEG) // 2], 'is cut short'),
    'half, the rest zeros': (punch(JPEG, len(JPEG) // 2), 'is cut short'),
    'half with an end mark': (JPEG[:len(JPEG) // 2] + b'\xff\xd9', 'is broken inside'),
    'a hole': (punch(JPEG, 200), 'is broken inside'),
    'a hole, early': (punch(JPEG, 300, 0.3), 'is broken inside'),
    'a bit': (bend(JPEG), 'is broken inside'),
    'a thumbnail, cut': (with_thumbnail(JPEG)[:-900], 'is cut short'),
    'a thumbnail, a hole': (punch(with_thumbnail(JPEG), 200, 0.8), 'is broken inside'),
    'progressive, half': (encode('.jpg', progressive=True)[:6000], 'is cut short'),
    'progressive, a hole': (punch(encode('.jpg', progressive=True), 100), 'is broken inside'),
    'restarts, a hole': (punch(encode('.jpg', restart_marker_blocks=4), 100), 'is broken inside'),
    'PNG, half': (PNG[:len(PNG) // 2], 'is cut short'), 'PNG, end missing': (PNG[:-12], 'is cut short'),
    'PNG, a hole': (punch(PNG, 200), 'is broken inside'), 'PNG, a bit': (bend(PNG), 'is broken inside'),
    'BMP, half': (BMP[:len(BMP) // 2], 'is cut short'), 'BMP, a row missing': (BMP[:-960], 'is cut short'),
    'WebP, half': (encode('.webp')[:2000], 'is cut short'),
    'TIFF, half': (encode('.tif')[:99999], 'is cut short'),
    'TIFF, packed, half': (cv2.imencode('.tif', PHOTO)[1].tobytes()[:40000], 'is cut short'),
    'JPEG 2000, half': (cv2.imencode('.jp2', PHOTO)[1].tobytes()[:9000], 'is cut short'),
}


@pytest.mark.parametrize('name', SOUND)
def test_sound_pictures_are_not_accused(name):
    assert find_damage(SOUND[name]) == '' and examine_image(SOUND[name]) == ((240, 320), '')
    assert decode_image(SOUND[name]).shape == (240, 320, 3)


@pytest.mark.parametrize('name', DAMAGED)
def test_damaged_pictures_are_found(name, capfd):
    data, damage = DAMAGED[name]
    assert find_damage(data) == damage
    with pytest.raises(UserError) as error: examine_image(data, 'the image x/a')
    assert str(error.value) == f'the image x/a {damage}.'
    assert capfd.readouterr().err == ''


NO_IMAGES = {
    'nothing': (b'', 'but an empty file'), 'zeros': (bytes(500), 'but an empty file'),
    'text': (b'hello', 'can read.'),
    'a web page': (b'\r\n<!DOCTYPE html><html>', 'but a web page'),
    'HEIC': (b'\0\0\0\x18ftypheic' + bytes(40), 'but a HEIC picture'),
    'HEIC of an iPhone': (b'\0\0\0\x18ftypmif1' + bytes(40), 'but a HEIC picture'),
    'a film': (b'\0\0\0\x18ftypmp42', 'but a video'),
    'SVG': (b'<svg xmlns="x">', 'but an SVG drawing'), 'PDF': (b'%PDF-1.7', 'but a PDF'),
    'LFS': (b'version https://git-lfs.github.com', 'but a Git LFS pointer'),
    'zip': (b'PK\3\4', 'but a zip file'),
}


@pytest.mark.parametrize('name', NO_IMAGES)
def test_what_is_no_image_is_named(name):
    data, said = NO_IMAGES[name]
    with pytest.raises(UserError) as error: decode_image(data, 'x/a.jpg')
    text = str(error.value)
    assert text.startswith('x/a.jpg is not an image that OpenCV can read') and said in text
    assert text.endswith('.') and find_damage(data) == ''


def grey16(most): return np.linspace(0, most, 4800).reshape(60, 80).astype(np.uint16)


def as_file(ending, values): return cv2.imencode(ending, values)[1].tobytes()


TWELVE = 'is almost black (brightest value 15 of 255): its 16-bit values fill only 12 bits, so scale them'
DARK = {
    'PNG of 12 bits': (as_file('.png', grey16(4095)), TWELVE),
    'TIFF of 12 bits': (as_file('.tif', grey16(4095)), TWELVE),
    'colours of 12 bits': (as_file('.png', np.dstack([grey16(4095)] * 3)), TWELVE),
    'PGM': (as_file('.pgm', grey16(4095)), TWELVE),
    'PGM that says 4095': (b'P5\n80 60\n4095\n' + grey16(4095).astype('>u2').tobytes(), TWELVE),
    'JPEG 2000': (as_file('.jp2', grey16(4095)), TWELVE),
    '10 bits': (as_file('.png', grey16(1023)), 'fill only 10 bits'),
    '14 bits': (as_file('.tif', grey16(16383)), 'fill only 14 bits'),
    'all 16 bits': (as_file('.png', grey16(65535)), ''),
    '15 bits': (as_file('.png', grey16(32767)), ''),
    'a dark photograph': (as_file('.png', np.uint8(grey16(15))), ''),
    'a dark TIFF': (as_file('.tif', np.uint8(grey16(15))), ''), 'a dark JPEG': (encode('.jpg', UP // 20), ''),
    'a dark BMP': (as_file('.bmp', UP // 20), ''), 'black in 16 bits': (as_file('.png', grey16(0)), ''),
    'fractions': (as_file('.pfm', np.dstack([grey16(1) * np.float32(1)] * 3)), 'its values end at 1'),
}


@pytest.mark.parametrize('name', DARK)
def test_dark_pictures(name):
    data, said = DARK[name]
    found = find_darkness(data, decode_image(data))
    assert found.endswith(f'{said}, so scale them') or found == said if said else found == ''
    assert examine_image(data) == ((60, 80), found)


# --- what predict finds ------------------------------------------------------------------------------------

def write_png(path, image=UP):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode('.png', image[..., ::-1])[1].tobytes())
    return path


@pytest.fixture
def predict(monkeypatch, capsys, tmp_path):
    "predict in this process, with a detector that always sees a ball: code, what it says, and what it writes"
    from dataclasses import replace
    from types import SimpleNamespace
    from ssd_nb.plumbing.commands import predict_command
    from ssd_nb.plumbing.options import run_command
    from ssd_nb.train import preset
    config = preset('ssd_tiny')

    def call(path, *options, classes=('ball', 'cube')):
        one = replace(config, data=replace(config.data, classes=classes),
            model=replace(config.model, num_classes=3))
        found = np.float32([[[0.25, 0.25, 0.75, 0.75]]]), np.float32([[[0, 0.9, 0.1]]])
        toy = lambda images: tuple(np.repeat(part, len(images), 0) for part in found)
        monkeypatch.setattr('ssd_nb.plumbing.commands._load_detector', lambda *a: (toy, one))
        out, code = tmp_path / 'out', 0
        try: run_command(predict_command, ['--checkpoint_path=x.ckpt', f'--image_path={path}',
            f'--output_dir={out}', *options])
        except SystemExit as ended: code = ended.code
        said, rows = capsys.readouterr(), out / 'detections.json'
        written = sorted(p.relative_to(out).as_posix() for p in out.rglob('*') if p.is_file())
        return SimpleNamespace(code=code, out=said.out, err=said.err, files=written, folder=out,
                               rows=json.loads(rows.read_text()) if rows.exists() else [])
    return call


def names(done): return [row['file_name'] for row in done.rows]


def test_folder_with_sub_folders_and_other_files(predict, tmp_path):
    box = tmp_path / 'in'
    for name in ('a.png', 'cam1/0001.PNG', 'cam2/0001.png', 'cam2/deep er/#1 [x].png'): write_png(box / name)
    for name in ('film.mp4', 'notes.txt', 'cam1/IMG.HEIC', '._a.png', '.DS_Store', '.hidden/a.png',
        '__MACOSX/cam1/a.png'):
        (box / name).parent.mkdir(exist_ok=True, parents=True)
        (box / name).write_bytes(b'x')
    done = predict(box)
    assert done.code == 0 and names(done) == ['a.png', 'cam1/0001.PNG', 'cam2/0001.png',
        'cam2/deep er/#1 [x].png']
    assert done.files == ['a.png', 'cam1/0001.png', 'cam2/0001.png', 'cam2/deep er/#1 [x].png',
        'detections.json', 'overview.png']
    line, = done.err.strip().splitlines()
    assert line == (f'5 files in {box} are passed over, since they are no images: '
                    'cam1/IMG.HEIC, film.mp4, notes.txt and 2 more')


def test_a_second_run_does_not_look_at_its_own_copies(predict, tmp_path):
    write_png(tmp_path / 'a.png')
    first, second = predict(tmp_path), predict(tmp_path)
    assert names(first) == names(second) == ['a.png'] and second.err == ''


@pytest.mark.parametrize('name', ('overview.png', 'overview.jpg', 'Overview.png', 'detections.png'))
def test_names_that_are_ours(name, predict, tmp_path):
    write_png(tmp_path / 'in' / name)
    done = predict(tmp_path / 'in')
    assert names(done) == [name] and len(done.files) == 3
    copy, = set(done.files) - {'overview.png', 'detections.json'}
    assert decode_image((done.folder / copy).read_bytes()).shape == (60, 80, 3)


ODD_NAMES = ('my photos', 'a[1]', 'a*b', 'x?', 'a#b', '100%25', '{a}', "it's", '图片', 'ü', 'a+b', '$x', '-a',
             '~a', '@list')


@pytest.mark.parametrize('name', ODD_NAMES)
def test_odd_folders_and_files(name, predict, tmp_path):
    write_png(tmp_path / 'in' / name / f'{name}.png')
    for path in (tmp_path / 'in' / name, tmp_path / 'in' / name / f'{name}.png',
        f'{tmp_path}/in/{name}/*.png'):
        done = predict(path)
        assert done.code == 0 and names(done) == [f'{name}.png'] and f'{name}.png' in done.files


PATTERNS = {'*/*.png': ['cam1/1.png', 'cam2/1.png'], '**/*.png': ['3.png', 'cam1/1.png', 'cam2/1.png'],
    'cam1/*': ['1.png', '2.jpg'],
            'cam[12]/1.*': ['cam1/1.png', 'cam2/1.png'],
            '*': ['3.png', 'cam1/1.png', 'cam1/2.jpg', 'cam2/1.png'], 'cam?/2.jpg': ['cam1/2.jpg'],
            'cam1': ['1.png', '2.jpg'], 'cam1/2.jpg': ['2.jpg'], '../in/cam1/*.jpg': ['2.jpg']}


@pytest.mark.parametrize('pattern', PATTERNS)
def test_patterns(pattern, predict, tmp_path):
    for name in ('cam1/1.png', 'cam2/1.png', '3.png'): write_png(tmp_path / 'in' / name)
    write_image(tmp_path / 'in/cam1/2.jpg')
    assert names(predict(f'{tmp_path}/in/{pattern}')) == PATTERNS[pattern]


LISTS = {
    'relative': ('cam1/1.png\ncam2/1.png\n', ['cam1/1.png', 'cam2/1.png']),
    'windows': ('cam1/1.png\r\ncam2/1.png', ['cam1/1.png', 'cam2/1.png']),
    'a mark and blanks': ('\ufeffcam2/1.png  \n\n  cam1/1.png\n', ['cam2/1.png', 'cam1/1.png']),
    'dots': ('./cam1/1.png\n./3.png', ['cam1/1.png', '3.png']),
    'absolute': ('{here}/cam1/1.png\n{here}/cam2/1.png', ['cam1/1.png', 'cam2/1.png']),
    'quoted': ('"cam1/1.png"', ['1.png']),
    'backslashes': ('cam1\\1.png\r\n.\\cam2\\1.png', ['cam1/1.png', 'cam2/1.png']),
    'one is missing': ('cam1/1.png\nnowhere/2.png\ncam2/1.png', ['cam1/1.png', 'cam2/1.png']),
}


@pytest.mark.parametrize('name', LISTS)
def test_lists(name, predict, tmp_path):
    for file in ('cam1/1.png', 'cam2/1.png', '3.png'): write_png(tmp_path / 'in' / file)
    text, found = LISTS[name]
    (tmp_path / 'in/list.txt').write_text(text.format(here=tmp_path / 'in'), encoding='utf-8', newline='')
    done = predict(tmp_path / 'in/list.txt')
    assert done.code == 0 and names(done) == found
    assert ('left out: ' in done.err) == (name == 'one is missing')


@pytest.mark.parametrize('encoding', ['utf-16', 'utf-16-le', 'utf-16-be', 'utf-8-sig'])
def test_lists_of_windows(encoding, predict, tmp_path):
    write_png(tmp_path / 'in/猫 1.png')
    mark = '\ufeff' if encoding[-2:] in ('le', 'be') else ''
    (tmp_path / 'in/list.txt').write_bytes(f'{mark}猫 1.png\r\n'.encode(encoding))
    done = predict(tmp_path / 'in/list.txt')
    assert done.code == 0 and names(done) == ['猫 1.png'] and '1 annotated image, ' in done.out


def film(path, frames=3, codec='mp4v'):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), 10, (80, 60))
    for _ in range(frames): writer.write(UP[..., ::-1].copy())
    writer.release()
    return path


MATRICES = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)} # clockwise, as phones write them


@pytest.mark.parametrize('angle', (0, *MATRICES))
def test_films_of_phones_come_upright(angle, tmp_path):
    from ssd_nb.plumbing.media import open_media
    data = bytearray(film(tmp_path / 'a.mp4').read_bytes())
    if angle:
        at, (a, b, c, d) = data.index(b'tkhd') + 44, MATRICES[angle]
        data[at:at + 36] = struct.pack('>9i', a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
        (tmp_path / 'a.mp4').write_bytes(data)
    _, frame = next(open_media(str(tmp_path / 'a.mp4'), str(tmp_path / 'out')).entries)
    orientation = {0: 1, 90: 6, 180: 3, 270: 8}[angle]
    box, = turn_boxes([BOX], orientation, frame.shape[:2])
    assert frame.shape == turn_image(UP, orientation).shape and measure_brightness(frame, box) > 0.9


def write_gif(path, frames):
    first, *more = [Image.fromarray(np.roll(UP, 5 * i, 1)) for i in range(frames)]
    first.save(path, save_all=True, append_images=more, duration=100)
    return path


@pytest.mark.parametrize('ending, codec', (('.mkv', 'mp4v'), ('.mov', 'mp4v'), ('.avi', 'MJPG'),
    ('.3gp', 'mp4v'), ('.MP4', 'mp4v')))
def test_endings_of_films(ending, codec, predict, tmp_path):
    film(tmp_path / f'a{ending.lower()}', codec=codec).rename(tmp_path / f'a b#{ending}')
    done = predict(tmp_path / f'a b#{ending}')
    assert done.code == 0 and 'a video of 3 frames' in done.out and len(done.rows) == 3


def test_gif(predict, tmp_path):
    done = predict(write_gif(tmp_path / 'many.gif', 4))
    assert done.code == 0 and 'a video of 4 frames' in done.out
    assert [row['image_id'] for row in done.rows] == [1, 2, 3, 4]
    done = predict(write_gif(tmp_path / 'one.gif', 1))
    assert done.code == 0 and '1 annotated image,' in done.out and 'one.png' in done.files
    write_png(tmp_path / 'in/a.png')
    write_gif(tmp_path / 'in/b.gif', 2)
    done = predict(tmp_path / 'in')
    assert done.code == 0 and 'a.png' in names(done)
    assert 'b.gif' in names(done) or 'b.gif is not an image that OpenCV can read, but a GIF' in done.err


SENTENCES = {
    'a camera of the net': ('rtsp://127.0.0.1:9/live',
        'rtsp://127.0.0.1:9/live cannot be opened: check the address'),
    'a page of the net': ('http://127.0.0.1:9/a.jpg',
        'http://127.0.0.1:9/a.jpg cannot be opened: check the address'),
    'nothing': ('{tmp}/none.jpg', 'there is no --image_path='),
    'a pattern without a match': ('{tmp}/*.bmp', 'there is no --image_path='),
    'an empty folder': ('{tmp}/empty', 'holds no image: give a folder with .jpg'),
    'films alone': ('{tmp}/films', 'holds no image (its files are a.mp4, b.mov)'),
    'a text': ('{tmp}/prose.txt', 'none of its lines is the path of a file'),
    'an empty text': ('{tmp}/empty.txt', 'none of its lines is the path'),
    'a picture of an iPhone': ('{tmp}/IMG.HEIC', 'the file is no image that can be read'),
    'a film that is text': ('{tmp}/a.mp4', 'is no video that this OpenCV'),
    'a half': ('{tmp}/half.jpg', 'the file is no image that can be read'),
    'a hole': ('{tmp}/hole.jpg', 'the file is no image that can be read'),
}


@pytest.mark.parametrize('name', SENTENCES)
def test_what_cannot_be_looked_at_is_one_sentence(name, predict, tmp_path):
    for folder in ('empty', 'films'): (tmp_path / folder).mkdir()
    for file in ('films/a.mp4', 'films/b.mov', 'empty.txt', 'a.mp4'): (tmp_path / file).touch()
    (tmp_path / 'prose.txt').write_text('Dear reader,\nthis is no list.\n')
    (tmp_path / 'IMG.HEIC').write_bytes(b'\0\0\0\x18ftypheic' + bytes(40))
    (tmp_path / 'half.jpg').write_bytes(JPEG[:len(JPEG) // 2])
    (tmp_path / 'hole.jpg').write_bytes(punch(JPEG, 200))
    path, said = SENTENCES[name]
    done = predict(path.format(tmp=tmp_path))
    assert done.code == 2 and said in done.err.strip().splitlines()[-1] and 'Traceback' not in done.err
    assert len(done.err.strip().splitlines()) == (2 if name in ('a picture of an iPhone', 'a half',
        'a hole') else 1)


@pytest.mark.parametrize('orientation', (3, 6, 8))
def test_copies_of_photographs_are_upright(orientation, predict, tmp_path):
    write_image(tmp_path / 'in/a.jpg', turn_image(UP, BACK[orientation]), orientation)
    done = predict(tmp_path / 'in')
    assert decode_image((done.folder / 'a.png').read_bytes()).shape == (60, 80, 3)
    assert done.rows[0]['bbox'] == [20, 15, 40, 30]


def test_dark_pictures_are_looked_at_and_named(predict, tmp_path):
    (tmp_path / 'in').mkdir()
    (tmp_path / 'in/thermal.png').write_bytes(DARK['PNG of 12 bits'][0])
    done = predict(tmp_path / 'in')
    assert done.code == 0 and names(done) == ['thermal.png']
    assert done.err.strip() == f'{tmp_path}/in/thermal.png {TWELVE}.'


# --- names of classes --------------------------------------------------------------------------------------

CLASS_NAMES = ('5$_x-10$_x', '$', '$$', '$a$', 'Bär', 'Медведь', '熊', 'a\\$b$', '<b>', '{x}', 'a_b^c', 'ぱんだ',
               '곰', 'دب', '\U0001f43b')


@pytest.mark.parametrize('name', CLASS_NAMES)
def test_class_names_are_drawn(name, predict, tmp_path, recwarn):
    from ssd_nb.plumbing.fonts import find_font, spell_names
    write_png(tmp_path / 'in/a.png')
    done = predict(tmp_path / 'in', classes=(name, 'cube'))
    assert done.code == 0 and done.rows[0]['category_name'] == name
    assert not [str(w.message) for w in recwarn if 'Glyph' in str(w.message)] and 'Glyph' not in done.err
    shown = spell_names(('background', name))[1].replace('\\$', '$')
    assert shown in (name, name.replace('\\$', '$')) if find_font(name) else shown == 'class 1'


def paint(name):
    from ssd_nb.eval import Detections
    from ssd_nb.plumbing.paint import annotate
    one = Detections(np.array([[20., 20, 100, 150]]), np.float32([0.9]), np.array([1]))
    return annotate(np.zeros((120, 200, 3), np.uint8), one, ('background', name))


@pytest.mark.parametrize('name', ('熊', 'Bär', 'ぱんだ', 'Ж', '\U0001f43b'))
def test_painted_names_are_no_question_marks(name):
    for marks in (len(name.encode()) * '?', len(name) * '?',
        ''.join(c if c.isascii() else '??' for c in name)):
        assert (paint(name) != paint(marks)).any()
    from ssd_nb.plumbing.fonts import find_font
    if not find_font(name): assert (paint(name) == paint('class 1')).all()


def test_painted_letters_stay_inside():
    from ssd_nb.eval import Detections
    from ssd_nb.plumbing.paint import annotate
    for size in ((4, 4), (12, 200), (300, 20), (60, 80)):
        boxes = np.array([[-30., -40, 60, 80], [0, 0, 3, 3], [200, 300, 900, 900]])
        some = Detections(boxes, np.full(3, 0.5), np.ones(3, int))
        assert annotate(np.zeros((*size, 3), np.uint8), some, ('background', 'Bär ' * 9)).shape == (*size, 3)


def test_log_scales_are_as_ever():
    import matplotlib.pyplot as plt
    from ssd_nb.plumbing.pictures import set_style
    set_style()
    ax = plt.figure().add_subplot(yscale='log', ylim=(1, 100))
    assert ax.get_yticklabels()[0].get_parse_math() # or its numbers would show as $\mathdefault{10^{2}}$
    plt.close()


# --- export and inference ----------------------------------------------------------------------------------

@pytest.mark.parametrize('folder', ('my data', '数据', "it's", 'a#b', 'a[b]+', 'a,b', 'plain'))
@pytest.mark.parametrize('form', ('MINDIR', 'ONNX'))
def test_graphs_are_written_into_any_folder(folder, form, tmp_path):
    import mindspore as ms
    from mindspore import nn
    from ssd_nb.plumbing.backends import FORMATS, READERS, write_graph

    class Toy(nn.Cell):
        def construct(self, x): return x + x, x * x

    (tmp_path / folder).mkdir()
    path, three = tmp_path / folder / f'{folder} 1{FORMATS[form]}', np.float32([[1, 2, 3]])
    write_graph(Toy(), ms.Tensor(three), path, form)
    answers, shape = READERS[path.suffix](path)
    assert [part.tolist() for part in answers(three)] == [[[2, 4, 6]], [[1, 4, 9]]] and shape == (1, 3)
    assert [p.name for p in path.parent.iterdir()] == [path.name] and path.stat().st_mode & 0o777 == 0o644


def load_infer():
    import runpy
    from conftest import ROOT
    return runpy.run_path(str(ROOT / 'scripts/infer.py'))


RESULTS = {
    'plain': (['000001.jpg', '000002.jpg'], ['000001', '000002']),
    'folders': (['cam1/1.jpg', 'cam2/1.jpg'], ['cam1_1', 'cam2_1']),
    'some alike': (['cam1/1.jpg', 'cam2/1.jpg', 'cam2/2.jpg'], ['cam1_1', 'cam2_1', '2']),
    'endings': (['1.jpg', '1.png'], ['1.jpg', '1.png']),
    'case': (['a/X.jpg', 'b/x.jpg'], ['a_X', 'b_x']), 'in the way': (['a/1.jpg', 'b/1.jpg', 'a_1.jpg'],
        ['a_1.jpg', 'b_1', 'a_1']),
    'windows': (['cam1\\1.jpg', 'cam2\\1.jpg'], ['cam1_1', 'cam2_1']),
    'absolute': (['/d/cam1/1.jpg', 'C:\\cam2\\1.jpg'], ['d_cam1_1', 'C_cam2_1']),
    'outside': (['../1.jpg', '../../2.jpg'], ['1', '2']), 'equal': (['1.jpg', '1.jpg'], ['1_7', '1_8']),
    'dots': (['a.b.jpg', 'a.c.jpg'], ['a.b', 'a.c']),
}


@pytest.mark.parametrize('name', RESULTS)
def test_results_have_names_of_their_own(name):
    files, wanted = RESULTS[name]
    found = load_infer()['name_results']([dict(id=i, file_name=file) for i, file in enumerate(files, 7)])
    assert list(map(found.get, (7, 8, 9)[:len(files)])) == wanted


def test_results_carry_the_ids_of_the_user(tmp_path):
    from types import SimpleNamespace
    from ssd_nb.eval import Detections
    one = Detections(np.array([[10., 20, 30, 60]]), np.float32([0.5]), np.array([1]))
    truth = dict(images=[dict(id=1, own_id='IMG-a', file_name='cam1/1.jpg'),
        dict(id=2, own_id=2 ** 60, file_name='cam2/1.jpg')],
                 categories=[dict(id=5, own_id='c5', name='cat')])
    result = SimpleNamespace(detections={1: one, 2: one}, category_ids=[0, 5])
    load_infer()['write_each'](result, truth, tmp_path)
    rows = {p.stem: json.loads(p.read_text())[0] for p in (tmp_path / 'result_Files').iterdir()}
    assert set(rows) == {'cam1_1', 'cam2_1'}
    assert {key: rows['cam1_1'][key] for key in ('image_id', 'category_id', 'file_name')} == dict(
        image_id='IMG-a', category_id='c5', file_name='cam1/1.jpg')
    assert rows['cam2_1']['image_id'] == 2 ** 60 and rows['cam2_1']['bbox'] == [20, 10, 40, 20]


@pytest.mark.parametrize('place', ('.', 'eval'))
def test_data_is_found_by_its_folder_or_that_of_its_images(place, tmp_path):
    from make_sets import write_coco, write_voc, write_yolo
    from ssd_nb.data import DataConfig
    find = load_infer()['find_data']
    write_coco(tmp_path / 'coco', split='eval')
    found = find(tmp_path / 'coco' / place, DataConfig('voc', voc_root='x', voc_json='x'))
    assert (found.dataset, found.coco_root) == ('coco', str(tmp_path / 'coco'))
    write_voc(tmp_path / 'voc', split='eval')
    assert find(tmp_path / 'voc' / place, DataConfig()).voc_root == str(tmp_path / 'voc')
    write_yolo(tmp_path / 'yolo', images=('images/train/1.jpg', 'images/val/1.jpg'))
    inner = '.' if place == '.' else 'images/val'
    assert find(tmp_path / 'yolo' / inner, DataConfig()).yolo_root == str(tmp_path / 'yolo')


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='there are no named pipes')
def test_a_pipe_has_no_other_path(tmp_path):
    from ssd_nb.plumbing.find_images import ImageFinder
    os.mkfifo(tmp_path / 'a.jpg')
    finder = ImageFinder(tmp_path)
    assert finder.find('a.jpg') == tmp_path / 'a.jpg' and finder.list_notes('list.txt') == []
