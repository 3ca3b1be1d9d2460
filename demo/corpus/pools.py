"""Field values for the training texts: names of companies, products, codes, dates, amounts.

A small model learns to copy a field from the prompt only if it cannot learn the field by heart, so
every pool here has thousands of values, most of them put together from parts. No pool holds names
of people. Every function takes a random.Random and draws from it alone, so a seed gives the same
texts everywhere. Strings are ASCII, without line ends, double quotes or backslashes.

    company(rng)       "Velmora Foods Ltd"          a business of any kind
    shop(rng)          "The Copper Bakery"          a shop, a practice or a company
    product(rng)       ("oak desk lamp", "oak desk lamps")        one of them, several of them
    item_code(rng)     "KX-4410"                    a product's code
    document_code(rng) "INV-20931"                  the number of an invoice, an order, a case
    city(rng)          "Rotterdam"                  one of more than 150
    department(rng)    "billing"                    a part of a business, in lower case
    currency(rng)      "EUR"                        a code of three letters
    amount(rng)        ("1,250.50", 1250.5)         money as written and as a number
    price(rng)         ("12.50", 12.5)              the same for one piece
    count(rng)         ("1,200", 1200)              a number of pieces as written and as a number
    day(rng)           datetime.date                from 2023 to 2029
    date(rng)          ("4 March 2026", "2026-03-04")             a date as written and in ISO form
    clock(rng)         ("2:30 pm", "14:30")         a time as written and in 24 hours
"""
import datetime

STARTS = """al am an ar as bar bel bor bra bri cal can car cas cor cre dal dan del dor dra
el em er fal fen fer flo for gal gar gen gla gor gra hal har hel hol hu in jas jen jor kal
kar kel kor kra lan lar len lin lor lu mal mar mel mer mil mon mor nal nar nel nor ol or
os pal pan par pel per pol por quan ral ran rel ren ril ros sal san sel ser sil sol sor
stel sun tal tan tel ter tor tra tri ul um val van vel ver vin vol wal wes wil win xan yar
yel zan zel zen zor""".split()
MIDDLES = """a e i o u ba be bi bo ca ce da de di do fa fi ga go ka ki la le li lo ma me
mi mo na ne ni no pa pe ra re ri ro sa se si so ta te ti to va ve vi vo za zi""".split()
ENDS = """ba bis bo cor da den dex dia don dra fex fin gan go ka kon la lan len lex lia
lin lis lo lon lor lux ma med mia min mis mo mont na nel nex nia nis no nor nova nta phi
pia pon quest ra rex ria ric ris ro ron rra sa sen sia sol son sta ta tec ten ter tex tia
tis to ton tor tra va ven vera via vis vita vo wen xa xis yon za zen zo""".split()
ONSETS = """b br c ch cl d dr f fl g gl gr h j k kl kr l m n p pl pr qu r s sh sk sl sp st str t th
tr v w wh y z""".split()
VOWELS = "a e i o u ai au ea ee ei ie oo ou a e i o u y".split()
CODAS = """b ck d ff g ke l ld lk ll m mp n nd ng nk nt p r rd rk rn rt s sh sk ss st t th tt v
w x y ham ford ley mont berg stad dale field well""".split()
TRADES = """Foods Supply Logistics Textiles Pharma Medical Retail Trading Systems Steel
Paper Energy Packaging Furniture Tools Books Toys Shoes Garden Electronics Chemicals
Printing Optics Catering Cleaning Plastics Motors Lighting Interiors Dental Labs Analytics
Software Networks Insurance Capital Finance Leasing Advisory Consulting Transport Freight
Hardware Stationery Ceramics Glass Timber Coffee Tea Bakery Dairy Wines Sports Outdoor
Beauty Cosmetics Fashion Home Kitchens Fabrics Seeds Farms Appliances Diagnostics Imaging
Instruments Health Care Wellness Biotech Partners Holdings Ventures Media Design Studios
Security Facilities Laundry Office Rentals Parts Components Bearings Cables Paints Tiles
Carpets Bikes Batteries Solar Water Waste Recycling""".split()
FORMS = ["Ltd", "Inc", "LLC", "GmbH", "AG", "PLC", "Group", "BV", "Corp", "SA", "Co", "and Sons"]
COLOURS = """Red Blue Green Silver Golden Copper White Black Grey Amber Ivory Scarlet
Indigo Crimson Bronze Coral Olive Maple Jade Violet""".split()
QUALITIES = """North South East West Upper Lower New Old Grand First Prime Bright Clear
Swift Quiet Noble Royal Modern United Global Central Metro Urban Rural Coastal Alpine
Nordic Baltic Atlantic Pacific Summit Open True Fresh Pure Solid Smart Rapid Steady Happy
Lucky Sunny Misty Broad High Deep Long Twin Triple""".split()
THINGS = """Harbor River Bridge Mill Field Forest Valley Stone Anchor Lantern Falcon Otter
Heron Badger Fox Bear Wolf Eagle Swan Raven Cedar Pine Birch Elm Willow Oak Meadow Orchard
Garden Lake Bay Coast Island Peak Ridge Canyon Spring Well Tower Gate Castle Market Square
Corner Wharf Dock Station Compass Arrow Shield Crown Star Moon Comet Cloud Storm Wave
Shore Sail Wheel Barrel Basket Kettle Needle Thread Button Feather Acorn Clover Thistle
Poppy Daisy Lotus Fern Ivy Moss Pebble Cobble Brick Beacon Signal Circle Prism Quarry
Furrow Saddle Spindle Trellis""".split()
SHOPS = """Bakery Pharmacy Bookshop Hardware Florist Deli Grocery Butcher Hotel Cafe
Bistro Clinic Surgery Hospital Boutique Market Store Outlet Nursery Optician Kitchen Inn
Hostel School Gallery Studio Workshop Garage Canteen Laundry Salon Gym Spa Restaurant
Warehouse Depot Showroom Emporium Dispensary Hospice""".split()

HOUSES = ["Hotel", "Cafe", "Studio", "Villa", "Casa", "Haus", "Bistro"]

ADJECTIVES = """oak pine steel copper glass paper plastic leather cotton linen wool silk
bamboo ceramic rubber aluminium walnut brass felt foam red blue green black white grey
yellow orange purple pink beige navy small large compact folding wireless portable heavy
light double single round square flat tall short wide slim padded insulated waterproof
disposable sterile reusable organic electric manual digital adjustable magnetic stackable
printed plain striped""".split()
MATERIALS = ADJECTIVES[:20]
NOUNS = """desk lamp|office chair|bookshelf:bookshelves|filing cabinet|whiteboard|notebook|
ballpoint pen|stapler|paper tray|label printer|bar code scanner|cash drawer|shopping basket|
display stand|price tag|gift box:gift boxes|tote bag|rain jacket|running shoe|winter coat|
scarf:scarves|baseball cap|t-shirt|wool sweater|apron|hand towel|bath mat|bed sheet|pillow|
blanket|curtain|rug|picture frame|wall clock|table lamp|candle|vase|coffee mug|tea cup|
dinner plate|soup bowl|water bottle|lunch box:lunch boxes|frying pan|kettle|toaster|blender|
hand mixer|kitchen scale|cutting board|chef knife:chef knives|garden hose|flower pot|
watering can|tool kit|cordless drill|screwdriver set|paint brush:paint brushes|step ladder|
extension cable|light bulb|battery pack|power bank|phone case|headset|keyboard|
computer mouse:computer mice|monitor|laptop stand|docking station|
network switch:network switches|router|webcam|usb cable|memory card|tablet cover|desk fan|
air purifier|heater|blood pressure monitor|thermometer|stethoscope|pulse oximeter|surgical mask|
examination glove|syringe|bandage|gauze pad|wound dressing|wheelchair|walking frame|
hospital bed|infusion pump|test strip|sample tube|pill box:pill boxes|first aid kit|
hand sanitizer|hearing aid battery:hearing aid batteries|knee brace|wrist support|heating pad|
face shield|lab coat|specimen bag|toy train|board game|jigsaw puzzle|teddy bear|bicycle helmet|
yoga mat|tennis racket|football|camping tent|sleeping bag|rucksack|suitcase|umbrella|wallet|
sunglass case|hair dryer|razor|soap bar|shampoo bottle|pallet|shipping crate|
packing box:packing boxes|tape roll|safety vest|hard hat|work glove|fire extinguisher|
storage bin|shelf bracket|door handle|floor tile|paint can|wall hook|mirror|bar stool|
garden bench:garden benches|parasol|barbecue grill|cool box:cool boxes|coffee machine|
espresso cup|wine glass:wine glasses|serving tray|menu card|receipt roll|envelope|calendar|
planner|eraser|marker|glue stick|ring binder|desk organizer"""
NOUNS = [(n.split(":") + [n + "s"])[:2] for n in NOUNS.replace("\n", "").split("|")]
LINES = """Alto Basic Classic Duo Eco Flex Plus Pro Max Mini Nova Prime Solo Swift Terra
Ultra Vario Zen Comfort City Travel Junior""".split()

FIRST_PARTS = """cable filter valve pump hose wheel belt motor sensor switch clip hook lid frame
ink door window drawer shelf bread cake sugar salt soup fruit bean rice oil juice tea baby pet
dog cat bird fish plant seed tool nail bolt lamp light fuse wire chain rope bag box jar tin tube
bath foot hair skin tooth nose ear hand wrist knee hip neck bed sleep sport ball bike car truck
boat ski snow rain sun heat ice water gas air dust paper card letter stamp badge key coin desk
floor wall roof brick stone sand""".split()
SECOND_PARTS = """holder cover cap ring clip tray rack stand pad mat bag box case kit set roll
sheet pack bar rod pin plug socket adapter cutter opener cleaner brush cloth spray cream gel
guard strap belt tie label sticker frame board panel cart trolley basket bucket lamp timer
sensor alarm lock filter cartridge wrap liner sleeve wedge cushion warmer cooler dispenser
feeder""".split()

CITIES = """Aarhus Aberdeen Adelaide Alicante Amsterdam Ankara Antwerp Athens Atlanta
Auckland Austin Baltimore Bangkok Barcelona Basel Belfast Belgrade Bergen Berlin Bern
Bilbao Birmingham Bologna Bordeaux Boston Brisbane Bristol Brno Brussels Bucharest
Budapest Buffalo Cairo Calgary Cambridge Canberra Cardiff Charlotte Chicago Cincinnati
Cleveland Cologne Copenhagen Cork Dallas Darwin Delhi Denver Detroit Dortmund Dresden
Dubai Dublin Dundee Durban Edinburgh Edmonton Eindhoven Essen Exeter Florence Frankfurt
Galway Gdansk Geneva Genoa Ghent Glasgow Gothenburg Granada Graz Groningen Halifax Hamburg
Hanoi Hanover Helsinki Houston Hull Innsbruck Istanbul Izmir Jakarta Kassel Kiel Krakow
Kyoto Lagos Lausanne Leeds Leicester Leipzig Liege Lille Lima Limerick Linz Lisbon
Liverpool Ljubljana Lodz London Lubeck Lucerne Lyon Madrid Mainz Malaga Malmo Manchester
Manila Mannheim Marseille Melbourne Memphis Miami Milan Milwaukee Minneapolis Montreal
Mumbai Munich Munster Nagoya Nairobi Nantes Naples Nashville Newcastle Nice Norwich
Nottingham Nuremberg Oakland Odense Omaha Osaka Oslo Ottawa Oxford Palermo Paris Perth
Phoenix Pisa Pittsburgh Plymouth Portland Porto Poznan Prague Quebec Raleigh Reims Rennes
Reykjavik Riga Rome Rostock Rotterdam Salzburg Santiago Sapporo Seattle Seoul Seville
Sheffield Singapore Sofia Southampton Split Stavanger Stockholm Strasbourg Stuttgart
Sydney Tallinn Tampa Tampere Tokyo Toledo Toronto Toulouse Trieste Trondheim Tucson Tulsa
Turin Turku Utrecht Valencia Vancouver Venice Verona Vienna Vilnius Warsaw Wellington
Winnipeg Wroclaw York Zagreb Zaragoza Zurich""".split()
CITIES += ["New York", "San Diego", "Los Angeles", "Cape Town", "Hong Kong", "Kuala Lumpur",
           "The Hague", "Tel Aviv", "Salt Lake City", "Kansas City", "San Francisco",
           "Buenos Aires"]
DEPARTMENTS = """accounting|accounts payable|accounts receivable|billing|purchasing|procurement|
treasury|payroll|tax|audit|controlling|finance|sales|marketing|logistics|shipping|receiving|
warehouse|returns|customer service|customer care|merchandising|store operations|human resources|
recruiting|training|legal|compliance|facilities|security|IT support|data services|quality|
production|maintenance|planning|cardiology|radiology|pharmacy|nursing|oncology|pediatrics|
surgery|admissions|emergency|laboratory"""
DEPARTMENTS = DEPARTMENTS.replace("\n", "").split("|")
CURRENCIES = ["EUR", "USD", "GBP", "CHF", "EUR", "USD", "GBP", "CAD", "AUD", "JPY", "SEK", "NOK",
              "DKK", "PLN", "CZK", "INR", "SGD", "NZD", "ZAR", "BRL"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September",
          "October", "November", "December"]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
# Syllables may meet in a first name or in a word that nobody wants on a sign.
FIRST_NAMES = set("""alan alana alba albert alden alena alex alexa alexis alina alison alma alta
alton amanda anita anna anton arlen arlo armin arno aron arvo astra barbara barton belinda bella
belen benton brenda brian brita britta bruno calista calvin cameron camila carina carl carla
carlo carlos carlton carmen carol carolina carson cora coral corinna daliah dalia dalton damian
damon dana daniel daria darius darla delia delila delilah dolores dora dorian dorothea elena
elia elias elisa elma elmo elsa elton elvira emil emilia emilio emma emmanuel ermin erna ernesto
ferdinand fermin flora florian gala gareth garnet gavin gerald glenda gloria grace hal hana
hanna hannah harlan harmon harris harrison harvey helena henna hollis ina inga ingrid irina ivan
jamila jana janis jasmin jenna jenny jorge jordan julia kalina karen karin karina karla karlo
karma karol karolina karson kelly kelvin lana lara laris larissa lars laura lavinia lena lennon
lenny leon leona lilia lina linda lisa lola lora loren lorena lorenzo loretta lorna lucia luna
malin mara marcia marco maria marian marina mario maris marisa marissa marlen marlo marlon marta
martin marvin melanie melba melina melinda melissa milan milena milo milton mina mira miranda
mirella mona monica morgan nadia nala nelia nelson nena nora noris norma orla orlando oscar
pamela paris patricia paula perla petra quentin ramona ramon ren rena renata rilla rita rocco
roland rosa rosalia rosario roxana salma salvador samara sandra sanna santa santiago sara selena
selina selma serena sergio silas silvia sol sonia sonya stella tamara tania tara tatiana terra
tessa tilda tina toria torin tristan ulla ulric val valentin valentina valeria vanessa vera
verena verna verona victoria vilma viola vivian walden wanda wesley weston wilma wilson winona
xena yara zara zelda zelma zena""".split())
RUDE = ["porn", "anal", "nazi", "cock", "homo", "semen", "penis", "fag", "sex", "rape", "slut",
        "vagin", "satan", "tampo", "tit", "canc", "tumo", "shit", "fuck", "cunt", "dick", "piss",
        "hitl", "whor", "kill", "dead", "bitch", "suck", "poop", "wank"]
CODE_PREFIXES = ["INV", "INV", "RE", "R", "B", "BILL", "F", "SI", "AR", "DOC", "IN", "FA", "K"]
DATE_FORMS = ["iso", "dmy", "dmy", "dmy short", "mdy", "mdy", "mdy short", "ordinal", "of",
              "the of", "mdy ordinal", "dotted", "weekday", "slashes"]


def chance(rng, share):
    """True with this probability."""
    return rng.random() < share


def between(rng, low, high):
    """A whole number from low to high, both included."""
    return low + rng.randrange(high - low + 1)


def invented_word(rng):
    """A word nobody uses, with a capital: about a million of them in two or three syllables."""
    while True:
        if chance(rng, 0.2):
            word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS)
                           for _ in range(2)) + rng.choice(CODAS)
        else:
            middle = rng.choice(MIDDLES) if chance(rng, 0.5) else ""
            word = rng.choice(STARTS) + middle + rng.choice(ENDS)
        if word not in FIRST_NAMES and not any(part in word for part in RUDE):
            return word.capitalize()


def initials(rng):
    """Two to four capitals."""
    return "".join(rng.choice(LETTERS) for _ in range(between(rng, 2, 4)))


def company(rng):
    """A business: an invented or a composed name, often with a trade and a legal form."""
    kind = rng.randrange(10)
    trade = rng.choice(TRADES)
    if kind < 4:
        name = f"{invented_word(rng)} {trade}" if chance(rng, 0.7) else invented_word(rng)
    elif kind < 6:
        name = f"{rng.choice(COLOURS + QUALITIES)} {rng.choice(THINGS)} {trade}"
    elif kind == 6:
        name = f"{rng.choice(THINGS)} {trade}"
    elif kind == 7:
        name = f"{initials(rng)} {trade}"
    elif kind == 8:
        name = " & ".join(rng.sample(THINGS, 2))
    else:
        name = rng.choice(THINGS) + rng.choice(THINGS).lower()
    return f"{name} {rng.choice(FORMS)}" if chance(rng, 0.35) else name


def shop(rng):
    """Someone who buys: every second time a company, else a shop, a hotel, a practice."""
    kind = rng.randrange(8)
    place = rng.choice(SHOPS)
    if kind < 4:
        return company(rng)
    if kind == 4:
        return f"{rng.choice(THINGS)} {place}"
    if kind == 5:
        return f"{invented_word(rng)} {place}"
    if kind == 6 and chance(rng, 0.5):
        name = rng.choice([invented_word(rng), rng.choice(COLOURS), city(rng)])
        return f"{rng.choice(HOUSES)} {name}"
    if kind == 6:
        return f"The {rng.choice(COLOURS + QUALITIES)} {rng.choice(THINGS + SHOPS)}"
    return f"{rng.choice(COLOURS + QUALITIES)} {rng.choice(THINGS)} {place}"


def item_code(rng):
    """A product's code: letters and digits, or digits in groups."""
    kind = rng.randrange(6)
    digits = str(between(rng, 10, 9999))
    if kind == 0:
        return f"{rng.choice(LETTERS)}-{digits}"
    if kind == 1:
        return f"{rng.choice(LETTERS)}{rng.choice(LETTERS)}-{digits}"
    if kind == 2:
        return f"{initials(rng)}{digits}"
    if kind == 3:
        return f"{rng.choice(LETTERS)}{digits}{rng.choice(LETTERS)}"
    if kind == 4:
        return f"{initials(rng)}-{between(rng, 1, 99):02d}-{between(rng, 1, 999):03d}"
    return f"SKU-{between(rng, 1000, 99999)}"


def compound(rng):
    """(one, several) of a thing named by two words, which need not exist."""
    one = f"{rng.choice(FIRST_PARTS)} {rng.choice(SECOND_PARTS)}"
    return one, one + ("es" if one.endswith(("box", "brush")) else "s")


def product(rng):
    """(one, several) of a product: an article with adjectives, a line's name or a code."""
    one, several = rng.choice(NOUNS) if chance(rng, 0.6) else compound(rng)
    kind = rng.randrange(10)
    before = after = ""
    if kind < 4:
        before = rng.choice(ADJECTIVES) + " "
    elif kind < 6:
        before = f"{rng.choice(ADJECTIVES[20:])} {rng.choice(MATERIALS)} "
    elif kind == 6:
        after = " " + item_code(rng)
    elif kind == 7:
        before, after = rng.choice(ADJECTIVES) + " ", " " + item_code(rng)
    elif kind == 8:
        before = f"{invented_word(rng)} " + (f"{rng.choice(LINES)} " if chance(rng, 0.4) else "")
    return before + one + after, before + several + after


def document_code(rng):
    """The number of an invoice, an order or a case, in one of many house styles."""
    kind = rng.randrange(9)
    number = between(rng, 100, 999999)
    prefix = rng.choice(CODE_PREFIXES) if chance(rng, 0.7) else initials(rng)
    if kind < 3:
        return f"{prefix}-{number}"
    if kind == 3:
        return str(number)
    if kind == 4:
        return f"{between(rng, 2023, 2029)}-{between(rng, 1, 9999):04d}"
    if kind == 5:
        return f"{prefix}{number}"
    if kind == 6:
        return f"{prefix}-{between(rng, 2023, 2029)}-{between(rng, 1, 9999):0{between(rng, 2, 4)}d}"
    if kind == 7:
        return f"{prefix}/{between(rng, 100, 9999)}/{between(rng, 10, 99)}"
    return f"{rng.choice(LETTERS)}{number}"


def city(rng):
    """A city."""
    return rng.choice(CITIES)


def department(rng):
    """A part of a business."""
    return rng.choice(DEPARTMENTS)


def currency(rng):
    """A currency's code."""
    return rng.choice(CURRENCIES)


def money(rng, cents):
    """(as written, as a number) for an amount in cents; whole amounts with or without .00."""
    whole, rest = divmod(cents, 100)
    grouped = f"{whole:,}" if chance(rng, 0.6) else str(whole)
    written = f"{grouped}.{rest:02d}" if rest or chance(rng, 0.4) else grouped
    if rest and rest % 10 == 0 and chance(rng, 0.3):
        written = written[:-1]
    return written, cents / 100 if rest else whole


def amount(rng):
    """(as written, as a number): from 10 to a few 100,000, small ones as often as large ones."""
    units = between(rng, 10, 10 ** between(rng, 2, 5) * between(rng, 1, 4))
    cents = rng.randrange(100) if chance(rng, 0.45) else 50 * rng.randrange(2)
    return money(rng, 100 * units + (cents if chance(rng, 0.7) else 0))


def price(rng):
    """(as written, as a number): the price of one piece, from 0.20 to about 2,000."""
    cents = between(rng, 20, 10 ** between(rng, 3, 5) * between(rng, 1, 2))
    if chance(rng, 0.6):
        cents = max(50, cents // 50 * 50)
    return money(rng, cents)


def count(rng):
    """(as written, as a number): pieces, from 2 to a few thousand."""
    number = between(rng, 2, 10 ** between(rng, 1, 3) * between(rng, 1, 5))
    return (f"{number:,}" if chance(rng, 0.5) else str(number)), number


def day(rng, after=None):
    """A day from 2023 to 2028, or at most 120 days after another one."""
    if after:
        return after + datetime.timedelta(days=between(rng, 3, 120))
    return datetime.date(2023, 1, 1) + datetime.timedelta(days=rng.randrange(6 * 365))


def ordinal(number):
    """1st, 2nd, 3rd, 4th, 11th ..."""
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def written_date(when, form):
    """The day in one of DATE_FORMS. Days stand before months in forms of digits alone, except
    where the year comes first."""
    month = MONTHS[when.month - 1]
    d, y = when.day, when.year
    return {
        "iso": when.isoformat(),
        "dmy": f"{d} {month} {y}",
        "dmy short": f"{d} {month[:3]} {y}",
        "mdy": f"{month} {d}, {y}",
        "mdy short": f"{month[:3]} {d}, {y}",
        "ordinal": f"{ordinal(d)} {month} {y}",
        "of": f"{ordinal(d)} of {month} {y}",
        "the of": f"the {ordinal(d)} of {month} {y}",
        "mdy ordinal": f"{month} {ordinal(d)}, {y}",
        "dotted": f"{d:02d}.{when.month:02d}.{y}",
        "weekday": f"{WEEKDAYS[when.weekday()]}, {d} {month} {y}",
        "slashes": f"{y}/{when.month:02d}/{d:02d}",
    }[form]


def date(rng, when=None, form=None):
    """(as written, ISO) for a day, by default any day in any of DATE_FORMS."""
    when = when or day(rng)
    return written_date(when, form or rng.choice(DATE_FORMS)), when.isoformat()


def clock(rng):
    """(as written, HH:MM): a time of a working day."""
    hour, minute = between(rng, 7, 19), 5 * rng.randrange(12) if chance(rng, 0.4) else 0
    minute = 30 if not minute and chance(rng, 0.3) else minute
    half = "am" if hour < 12 else "pm"
    short = f"{(hour - 1) % 12 + 1}" + (f":{minute:02d}" if minute else "")
    exact = f"{hour:02d}:{minute:02d}"
    return rng.choice([exact, exact, f"{short} {half}", f"{short}{half}"]), exact
