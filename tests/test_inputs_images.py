"""Pictures as people bring them: turned, damaged, dark, of any ending, in any folder; and what predict makes of them."""
import io
import json
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from make_sets import draw_patch, measure_brightness, write_image
from PIL import Image

from ssd_nb.plumbing.images import (
    decode_image, examine_image, find_damage, find_darkness, is_image, read_orientation, read_size, turn_boxes,
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
    return data[:2] + before + b'\xff\xe1' + struct.pack('>H', len(block) + 8) + b'Exif\0\0' + block + data[2:]


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
    'a text': (in_jpeg(block(kind=2)), 1), 'zero': (in_jpeg(block(number=0)), 1), 'nine': (in_jpeg(block(number=9)), 1),
    'cut off': (in_jpeg(block()[:14]), 1), 'empty': (in_jpeg(b''), 1), 'garbage': (in_jpeg(b'\xff' * 30), 1),
    'leads outside': (in_jpeg(block(first=5000)), 1), 'many entries': (in_jpeg(block(entries=60000)), 6),
    'behind XMP': (in_jpeg(block(), XMP), 6), 'behind JFIF': (in_jpeg(block(), JFIF), 6),
    'behind filling bytes': (in_jpeg(block(), b'\xff\xff\xff'), 6), 'in the pixels': (encode('.jpg') + in_jpeg(block()), 1),
}


@pytest.mark.parametrize('name', EXIF)
def test_exif_as_cameras_write_it(name):
    data, orientation = EXIF[name]
    assert read_orientation(data) == orientation
    if name != 'in the pixels': assert decode_image(data).shape == ((80, 60, 3) if orientation == 6 else (60, 80, 3))


@pytest.mark.parametrize('data', (b'', b'\xff', b'\xff\xd8', b'\xff\xd8\xff', b'\x89PNG', b'RIFF\0\0\0\0WEBP', b'II*\0', b'MM\0*\0\0'))
def test_stumps_say_nothing_of_their_orientation(data):
    assert read_orientation(data) == 1
    with pytest.raises(UserError, match='^a.jpg is not an image that OpenCV can read'): decode_image(data, 'a.jpg')


NAMES = {'a.jpg': True, 'a.JPG': True, 'a.Jpeg': True, 'a.jfif': True, 'a.jpe': True, 'a.png': True, 'a.PNG': True,
         'a b.webp': True, 'ä#1%20.tif': True, '图.TIFF': True, 'a.bmp': True, 'a.dib': True, 'a.pgm': True, 'a.jp2': True,
         '._a.jpg': False, '.jpg': False, 'a.txt': False, 'a.heic': False, 'a.svg': False, 'a.mp4': False, 'jpg': False}


@pytest.mark.parametrize('name', NAMES)
def test_endings_of_images(name): assert is_image(f'x/{name}') == NAMES[name]


ENDINGS = '.jpg', '.jpeg', '.jpe', '.png', '.bmp', '.dib', '.webp', '.tif', '.tiff', '.jp2', '.ppm', '.pnm', '.sr', '.ras'


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
    return struct.pack('>I', len(content)) + name + content + (checksum or struct.pack('>I', zlib.crc32(name + content)))


def pack_tiff(**options): return encode('.tif', **options)


SOUND = {
    'grey': encode('.jpg', mode='L'), 'CMYK': encode('.jpg', mode='CMYK'), 'progressive': encode('.jpg', progressive=True),
    '4:4:4': encode('.jpg', subsampling=0), '4:2:2': encode('.jpg', subsampling=1), 'restarts': encode('.jpg', restart_marker_blocks=4),
    'optimised': encode('.jpg', optimize=True), 'zeros behind': JPEG + bytes(500), 'text behind': JPEG + b'made by me' * 9,
    'a second picture behind': JPEG + encode('.jpg', quality=20), 'an end mark behind': JPEG + b'\xff\xd9',
    'a film behind': JPEG + b'\0\0\0\x18ftypmp42' + bytes(range(256)) * 9, 'a thumbnail': with_thumbnail(JPEG),
    'filled up before the end': JPEG[:-2] + bytes(9) + b'\xff\xd9',
    'a thumbnail, filled up': with_thumbnail(JPEG)[:-2] + bytes(9) + b'\xff\xd9',
    'bytes before the tables': JPEG[:20] + bytes(3) + JPEG[20:], 'padding before the tables': JPEG[:20] + b'\xff\xff\xff' + JPEG[20:],
    'odd Adobe mark': JPEG[:20] + b'\xff\xee\0\x0eAdobe\0d\0\0\0\0\1' + JPEG[20:],
    'PNG with zeros behind': PNG + bytes(50), 'PNG palette': encode('.png', mode='P'), 'PNG grey': encode('.png', mode='L'),
    'PNG alpha': encode('.png', mode='RGBA'), 'PNG 1 bit': encode('.png', mode='1'),
    'PNG text with a wrong checksum': PNG[:33] + chunk(b'tEXt', b'a\0b', b'\1\2\3\4') + PNG[33:],
    'BMP with zeros behind': BMP + bytes(50), 'BMP that says no length': BMP[:2] + bytes(4) + BMP[6:], 'BMP palette': encode('.bmp', mode='P'),
    'WebP with zeros behind': encode('.webp') + bytes(50), 'WebP lossless': encode('.webp', lossless=True),
    'TIFF deflate': encode('.tif', compression='tiff_adobe_deflate'), 'TIFF grey': encode('.tif', mode='L'),
}
DAMAGED = {
    'end mark missing': (JPEG[:-2], 'is cut short'), 'a byte missing': (JPEG[:-1], 'is cut short'),
    'half': (JPEG[:len(JPEG) // 2], 'is cut short'), 'half, the rest zeros': (punch(JPEG, len(JPEG) // 2), 'is cut short'),
    'half with an end mark': (JPEG[:len(JPEG) // 2] + b'\xff\xd9', 'is broken inside'),
    'a hole': (punch(JPEG, 200), 'is broken inside'), 'a hole, early': (punch(JPEG, 300, 0.3), 'is broken inside'),
    'a bit': (bend(JPEG), 'is broken inside'), 'a thumbnail, cut': (with_thumbnail(JPEG)[:-900], 'is cut short'),
    'a thumbnail, a hole': (punch(with_thumbnail(JPEG), 200, 0.8), 'is broken inside'),
    'progressive, half': (encode('.jpg', progressive=True)[:6000], 'is cut short'),
    'progressive, a hole': (punch(encode('.jpg', progressive=True), 100), 'is broken inside'),
    'restarts, a hole': (punch(encode('.jpg', restart_marker_blocks=4), 100), 'is broken inside'),
    'PNG, half': (PNG[:len(PNG) // 2], 'is cut short'), 'PNG, end missing': (PNG[:-12], 'is cut short'),
    'PNG, a hole': (punch(PNG, 200), 'is broken inside'), 'PNG, a bit': (bend(PNG), 'is broken inside'),
    'BMP, half': (BMP[:len(BMP) // 2], 'is cut short'), 'BMP, a row missing': (BMP[:-960], 'is cut short'),
    'WebP, half': (encode('.webp')[:2000], 'is cut short'), 'TIFF, half': (encode('.tif')[:99999], 'is cut short'),
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
    'nothing': (b'', 'but an empty file'), 'zeros': (bytes(500), 'but an empty file'), 'text': (b'hello', 'can read.'),
    'a web page': (b'\r\n<!DOCTYPE html><html>', 'but a web page'), 'HEIC': (b'\0\0\0\x18ftypheic' + bytes(40), 'but a HEIC picture'),
    'HEIC of an iPhone': (b'\0\0\0\x18ftypmif1' + bytes(40), 'but a HEIC picture'), 'a film': (b'\0\0\0\x18ftypmp42', 'but a video'),
    'SVG': (b'<svg xmlns="x">', 'but an SVG drawing'), 'PDF': (b'%PDF-1.7', 'but a PDF'), 'LFS': (b'version https://git-lfs.github.com', 'but a Git LFS pointer'),
    'zip': (b'PK\3\4', 'but a zip file'),
}


@pytest.mark.parametrize('name', NO_IMAGES)
def test_what_is_no_image_is_named(name):
    data, said = NO_IMAGES[name]
    with pytest.raises(UserError) as error: decode_image(data, 'x/a.jpg')
    assert str(error.value).startswith('x/a.jpg is not an image that OpenCV can read') and said in str(error.value)
    assert str(error.value).endswith('.') and find_damage(data) == ''


def grey16(most): return np.linspace(0, most, 4800).reshape(60, 80).astype(np.uint16)


def as_file(ending, values): return cv2.imencode(ending, values)[1].tobytes()


TWELVE = 'is almost black (brightest value 15 of 255): its 16-bit values fill only 12 bits, so scale them'
DARK = {
    'PNG of 12 bits': (as_file('.png', grey16(4095)), TWELVE), 'TIFF of 12 bits': (as_file('.tif', grey16(4095)), TWELVE),
    'colours of 12 bits': (as_file('.png', np.dstack([grey16(4095)] * 3)), TWELVE), 'PGM': (as_file('.pgm', grey16(4095)), TWELVE),
    'PGM that says 4095': (b'P5\n80 60\n4095\n' + grey16(4095).astype('>u2').tobytes(), TWELVE),
    'JPEG 2000': (as_file('.jp2', grey16(4095)), TWELVE), '10 bits': (as_file('.png', grey16(1023)), 'fill only 10 bits'),
    '14 bits': (as_file('.tif', grey16(16383)), 'fill only 14 bits'), 'all 16 bits': (as_file('.png', grey16(65535)), ''),
    '15 bits': (as_file('.png', grey16(32767)), ''), 'a dark photograph': (as_file('.png', np.uint8(grey16(15))), ''),
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
