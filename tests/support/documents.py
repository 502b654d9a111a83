# SPDX-License-Identifier: LGPL-2.1-or-later
"""Documents that are no text, made here byte by byte: small ones, and ones with something wrong."""

import io
import shutil
import zipfile

PROGRAMS = ("pandoc", "pdftotext")


def missing_converter():
    """Why documents cannot be converted here, or None."""
    absent = [name for name in PROGRAMS if not shutil.which(name, path="/usr/bin:/bin")]
    return f"not installed: {', '.join(absent)}" if absent else None


def pdf(*pages, encrypted=False):
    """Each page is a list of lines of plain ASCII without parentheses."""
    first = 4
    kids = " ".join(f"{first + 2 * i} 0 R" for i in range(len(pages)))
    objects = [b"<< /Type /Catalog /Pages 2 0 R >>",
               f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
               b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    for i, lines in enumerate(pages):
        text = "\n".join(f"({line}) Tj T*" for line in lines)
        stream = f"BT /F1 12 Tf 14 TL 72 720 Td\n{text}\nET".encode()
        objects.append(b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792]"
                       b" /Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>"
                       % (first + 2 * i + 1))
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    # No password has these digests, not even the empty one.
    secret = (b" /Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <%s> /U <%s> >> /ID [<00> <00>]"
              % (b"11" * 32, b"22" * 32)) if encrypted else b""
    return _with_objects(objects, secret)


def _with_objects(objects, trailer):
    data = b"%PDF-1.4\n"
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(data))
        data += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    return data + (b"xref\n0 %d\n0000000000 65535 f \n%s"
                   b"trailer\n<< /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF\n"
                   % (len(objects) + 1, table, len(objects) + 1, trailer, len(data)))


def _zip(members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def docx(*paragraphs, title=None):
    """Paragraphs are texts, or (level, text) for headings."""
    body = ""
    for paragraph in paragraphs:
        level, text = paragraph if isinstance(paragraph, tuple) else (None, paragraph)
        style = f'<w:pPr><w:pStyle w:val="Heading{level}"/></w:pPr>' if level else ""
        body += f"<w:p>{style}<w:r><w:t>{text}</w:t></w:r></w:p>"
    if title:
        body = (f'<w:p><w:pPr><w:pStyle w:val="Title"/></w:pPr><w:r><w:t>{title}</w:t></w:r></w:p>'
                f"{body}")
    styles = "".join(
        f'<w:style w:type="paragraph" w:styleId="{name}"><w:name w:val="{shown}"/></w:style>'
        for name, shown in [("Title", "Title"),
                            *((f"Heading{i}", f"heading {i}") for i in range(1, 4))])
    return _zip({
        "[Content_Types].xml":
            f'<Types xmlns="{PACKAGE}/content-types"><Default Extension="rels" ContentType='
            '"application/vnd.openxmlformats-package.relationships+xml"/></Types>',
        "_rels/.rels":
            f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" '
            f'Type="{OFFICE}/officeDocument" Target="word/document.xml"/></Relationships>',
        "word/_rels/document.xml.rels":
            f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="r1" '
            f'Type="{OFFICE}/styles" Target="styles.xml"/></Relationships>',
        "word/styles.xml": f'<w:styles xmlns:w="{WORD}">{styles}</w:styles>',
        "word/document.xml":
            f'<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>',
    })


ODF = "urn:oasis:names:tc:opendocument:xmlns"


def odt(*paragraphs):
    """As docx(), without a title."""
    body = ""
    for paragraph in paragraphs:
        if isinstance(paragraph, tuple):
            level, text = paragraph
            body += f'<text:h text:outline-level="{level}">{text}</text:h>'
        else:
            body += f"<text:p>{paragraph}</text:p>"
    names = f'xmlns:office="{ODF}:office:1.0" xmlns:text="{ODF}:text:1.0"'
    return _zip({
        "mimetype": "application/vnd.oasis.opendocument.text",
        "content.xml": f"<office:document-content {names}><office:body><office:text>{body}"
                       "</office:text></office:body></office:document-content>",
        "styles.xml": f"<office:document-styles {names}><office:font-face-decls/><office:styles/>"
                      "<office:automatic-styles/><office:master-styles/></office:document-styles>",
    })
