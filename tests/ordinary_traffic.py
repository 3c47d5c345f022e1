"""Ordinary requests: what people type into forms, what programs send. Nothing here is an attack.

Written for measuring how often the threat screen is wrong. Each entry is (place, text) as a request would carry it,
decoded; the measurement encodes queries as browsers do.
"""

from __future__ import annotations

NAMES = """
O'Brien|D'Angelo|Conan O'Neil & Sons|L'Oréal|Jean-Luc d'Arc|Zoë|Ñandú S.A.|AT&T|Marks & Spencer|Ben & Jerry's
Rock 'n' Roll|Dunkin' Donuts|Wendy's; Arby's|Smith; Jones & Partners|M/S Traders|C/O Jane Doe|Müller (Söhne) GmbH
'Til Death|Ann-Marie O''Dell|Union Pacific|Union Select Committee|Drop Table Inc|Delete Records Ltd|Executive Suite
Alexander "Sandy" McCall|James "Jim" O'Hara|"The Rock"|T-Mobile (USA) Inc.|Yahoo!|C++ Builders|C# Corner|.NET Foundation
""".replace("\n", "|").split("|")

SENTENCES = """
I'd like to select a seat or cancel my order.
Can't log in; please help - it's urgent!
The union selects its delegates from a table of members.
Please drop the table off at the front desk; thanks.
Where do I insert my card? And when is it updated?
You can't have your cake and eat it; or can you?
It's 1 = 1 in Boolean algebra, isn't it?
If x = 1 or y = 2 then z = 3.
We order by phone, group by region and sort by date.
Price < 100 and rating > 4
a < b && b < c
5 > 3; 3 < 5
The script was great, the images are blurry.
Onload the truck at 9:00; onboard at 10:00.
She said: "It's on sale" - or = better.
Let's update the document. Location: Berlin; cookie recipe attached.
My e-mail is o'brien+test@example.com -- write me.
Use -- to start a comment; ok?
Meeting at 10; id badges needed; ls models only.
cat; dog; bird
Ping me when you're done | then we ship
Echo | Bravo | Charlie
pipes | valves | fittings
cats & dogs & id cards
Who am I? whoami is a command.
$5 (five dollars), $10 (ten dollars)
Costs: $100; $(approx) 200
See section `id` in the docs
Run `make test` before you push
The path is ../images/logo.png
Files are under docs/ and src/
C:\\Users\\jane\\Documents\\letter.docx
/srv/photos/2024/summer.jpg
Look at https://example.com/a?b=c&d=e#f
javascript is a language; JavaScript: The Good Parts
data: text, images, sounds
vbscript and javascript, compared
<3 you
->  <-  <->  =>
<b>bold</b> and <i>italic</i> are fine <br/>
<p>Hello <strong>world</strong></p>
<a href="https://example.com">link</a>
<img src="https://example.com/a.png" alt="a picture">
<ul><li>one</li><li>two</li></ul>
Dear Sir/Madam, re: invoice #12-345/B
Re: Re: Fwd: (no subject)
50% off! 100% guaranteed!! (*terms apply)
Q: Why? A: Because!
{"nested": "json", "in": ["a", "string"]}
{{ template }} and ${variable} and #{ruby}
SELECT is a keyword in SQL
How do I SELECT * FROM users WHERE id = 1?
UPDATE: the meeting moved; INSERT coin to continue
sleep well; sleep(less) nights
benchmark: 5 ms, waitfor: 0 ms
The exec team will execute the plan; declare victory
Grant all privileges? No; revoke some.
Having said that, 'order' matters.
the 'user' table; the 'id' column
'quoted' or 'not quoted'
rock 'n' roll or 'blues'
It's 'on' or 'off'
the "id" = 5 thing
where's "name" = "value"?
one = two, two = three, "one" = "three"
x='1' y='2'
time: 10:30, date: 2024-01-01, tz: +02:00
a/b/c; d/e/f; /etc is a directory
my.passwd.backup and shadow.cat
etc/passwd is a file on Unix
proc. self-test /proc
bin/sh and bash are shells, right?
curl up with a book; nc-17 rated
wget-like tools | curl alternatives
rm: the letters r and m
ls -l lists files
php://? no idea
file://localhost is a URL
expect://nothing
""".strip().split("\n")

QUERIES = """
red shoes|size 9 1/2|"exact phrase"|-excluded +included|title:(foo OR bar)|price:[10 TO 20]|created:>2024-01-01
name eq 'O''Brien' and age gt 5|$filter=Name eq 'x'|$select=id,name&$orderby=name desc|fields=id,name,children(id,name)
a AND b OR NOT c|tag:c++|tag:c#|lat=52.5&lon=13.4|2024-01-01T00:00:00+02:00|#hashtag|@mention|user:me is:open label:"help wanted"
50%|100% cotton|1+1=2|a=b&c=d|;|'|"|--|()|<>|*|?|[]|{}|~|^|!|\\|/|..|.|,|:|$|#|%|&|+|=
""".replace("\n", "|").split("|")

DOCUMENTS = [
    "# Title\n\nSome *markdown* with `code`, a [link](https://example.com) and a table:\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
    "- [ ] do this; then that\n- [x] done (id 5)\n\n> quoted\n\n---\n\n```\nplain block\n```\n",
    "Hello team,\n\nplease find attached the report; let me know if you've questions.\n\nBest,\nJane O'Hara\n-- \nSent from my phone",
    "name,price,qty\n\"Widget, large\",9.99,5\n'Gadget',19.99,2\n",
    "query { user(id: 5) { name, orders(first: 10) { edges { node { id } } } } }",
    "mutation ($input: UpdateUserInput!) { updateUser(input: $input) { user { id name } } }",
    '{"op": "replace", "path": "/name", "value": "x"}',
    "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUg==",
    '2024-01-01 10:00:00 INFO started; pid=5 cmd="server --port 80"',
    "Steps:\n1. open the door\n2. select 'A' or 'B'\n3. if A = 1, go on; else stop",
    "color: #fff; background: url(https://example.com/a.png); margin: 0 -5px",
    "const a = b ? c : d; // ternary",
    "for (let i = 0; i < 10; i++) { sum += i; }",
    "def f(x): return x if x > 0 else -x  # absolute value",
    "SELECT name FROM products WHERE price < 10 ORDER BY name;",
    "The lease ends 31/12; rent = 1,200; deposit = 2,400 -- see page 4.",
    "Ingredients: 1/2 cup sugar; 3/4 tsp salt; butter & flour (1:1).",
    "Contact: +49 (0)30 123-456; fax: -457; www.example.com/~jane/",
]

AGENTS = (
    """
Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36
Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0
Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15
Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148
Mozilla/5.0 (Linux; Android 9; SH-04F Build/S4045) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36
Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121 Mobile
Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)
Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)
curl/8.8.0|Wget/1.24.5|python-requests/2.32.3|Go-http-client/2.0|okhttp/4.12.0|PostmanRuntime/7.39.0
Apache-HttpClient/4.5.14 (Java/17.0.11)|kube-probe/1.30|ELB-HealthChecker/2.0|Prometheus/2.53.0
Dalvik/2.1.0 (Linux; U; Android 13; Pixel 7 Build/TQ3A.230901.001)|Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)
""".strip()
    .replace("\n", "|")
    .split("|")
)

COOKIES = [
    "session=abc123; theme=dark; lang=en-US",
    "_ga=GA1.2.123456789.1700000000; _gid=GA1.2.987654321.1700000000; cart={%22items%22:[1,2]}",
    "id=5; sh=1; nc=0; cat=books; ls=on",
    'consent=a:1|b:0|c:1; pref="size=10&sort=asc"',
    "token=eyJhbGciOiJIUzI1NiJ9.e30.abc-_; Path=x",
]

PATHS = (
    """
/users/42|/api/v1/orders/2024-01-01/items|/search/red%20shoes|/files/report%20(final).pdf|/~jane/notes.txt|/a.b.c/d-e_f
/o'brien/profile|/tags/c%2B%2B|/wiki/Union_(disambiguation)|/select/union/all|/docs/etc/config|/static/js/app.min.js
/users/jane@example.com|/items;v=1;lang=en/5|/geo/52.5,13.4|/hash/e3b0c44298fc1c149afbf4c8996fb924|/.well-known/jwks.json
/drop/table/reservations|/bin-days/2024|/etcetera/passwd-reset|/process/self-check
""".strip()
    .replace("\n", "|")
    .split("|")
)


def ordinary() -> list[tuple[str, str]]:
    """Every text with the place it would stand in."""
    found = [("query", text) for text in [*NAMES, *SENTENCES, *QUERIES] if text]
    found += [("body", text) for text in [*NAMES, *SENTENCES, *DOCUMENTS] if text]
    found += [("header", text) for text in [*AGENTS, *COOKIES]]
    return found + [("path", text) for text in PATHS]
