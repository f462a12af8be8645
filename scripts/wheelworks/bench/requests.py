"""What the HTTP clients send, and what every server answers: a greeting, a document, a number or a file."""

from __future__ import annotations

import json

GREETING = b"Hello, world"
START_LINE = b"GET / HTTP/1.1\r\n"
BROWSER_HEADERS = (
    b"Host: localhost:8888\r\n"
    b"Connection: keep-alive\r\n"
    b"Cache-Control: max-age=0\r\n"
    b'sec-ch-ua: "Chromium";v="124", "Google Chrome";v="124", "Not-A.Brand";v="99"\r\n'
    b"Upgrade-Insecure-Requests: 1\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0"
    b" Safari/537.36\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    b"application/signed-exchange;v=b3;q=0.7\r\n"
    b"Sec-Fetch-Site: none\r\n"
    b"Sec-Fetch-Mode: navigate\r\n"
    b"Accept-Encoding: gzip, deflate, br, zstd\r\n"
    b"Accept-Language: en-US,en;q=0.9,de;q=0.8\r\n"
    b"Cookie: session=2|1:0|10:1713900000|7:session|24:ZGVhZGJlZWZkZWFkYmVlZg==|abcdef0123456789; theme=dark;"
    b" _ga=GA1.1.123456789.1713900000\r\n"
)
BROWSER_REQUEST = START_LINE + BROWSER_HEADERS + b"\r\n"
BARE_REQUEST = START_LINE + b"Host: localhost:8888\r\n\r\n"

# A request of a program, behind a proxy, with 20 headers.
API_HEADERS = (
    b"Host: api.example.com\r\n"
    b"Connection: keep-alive\r\n"
    b"Accept: application/json\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\n"
    b"Accept-Language: en\r\n"
    b"Authorization: Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwiaWF0IjoxNzEzOTAwMDAwfQ."
    b"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk\r\n"
    b"Cache-Control: no-cache\r\n"
    b"Content-Type: application/json\r\n"
    b"Cookie: session=2|1:0|10:1713900000|7:session|24:ZGVhZGJlZWZkZWFkYmVlZg==|abcdef0123456789\r\n"
    b"Origin: https://app.example.com\r\n"
    b"Referer: https://app.example.com/orders\r\n"
    b"Sec-Fetch-Mode: cors\r\n"
    b"Sec-Fetch-Site: same-site\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    b"X-Forwarded-For: 203.0.113.7, 198.51.100.22\r\n"
    b"X-Forwarded-Host: api.example.com\r\n"
    b"X-Forwarded-Proto: https\r\n"
    b"X-Real-Ip: 203.0.113.7\r\n"
    b"X-Request-Id: 7f1c2a4e-6a1b-4a52-9d7c-0a4f1f6b2c11\r\n"
    b"X-Requested-With: XMLHttpRequest\r\n"
)
JSON_REQUEST = START_LINE + API_HEADERS + b"\r\n"
DOCUMENT = {"orders": [{"id": number, "name": f"order {number}", "total": number * 1.25} for number in range(8)]}
JSON_ANSWER = json.dumps(DOCUMENT).encode()

UPLOAD_SIZE = FILE_SIZE = 10 << 10
UPLOAD_REQUEST = (
    b"POST / HTTP/1.1\r\n"
    + BROWSER_HEADERS
    + b"Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % UPLOAD_SIZE
    + b"u" * UPLOAD_SIZE
)
UPLOAD_ANSWER = b"%d" % UPLOAD_SIZE

FILE_NAME = "file.bin"
FILE = b"f" * FILE_SIZE
FILE_REQUEST = b"GET /%s HTTP/1.1\r\n" % FILE_NAME.encode() + BROWSER_HEADERS + b"\r\n"
