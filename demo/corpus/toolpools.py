"""Values for the tools: places, things, order ids, amounts of money. Thousands of each, so that a
model cannot learn them by heart and has to copy what it reads."""
from wording import pick

REAL_CITIES = """
Aarhus Accra Aleppo Amsterdam Ankara Antwerp Athens Atlanta Auckland Austin Baku Bangkok Barcelona
Basel Beirut Belgrade Bergen Berlin Bern Bilbao Birmingham Bogota Bologna Bordeaux Boston
Bratislava Bremen Brisbane Bristol Brussels Bucharest Budapest Cairo Calgary Canberra Cardiff
Chennai Chicago Cologne Copenhagen Cork Dakar Dallas Delhi Denver Detroit Dhaka Doha Dortmund
Dresden Dubai Dublin Dundee Durban Edinburgh Essen Florence Frankfurt Galway Gdansk Geneva Genoa
Ghent Glasgow Graz Grenoble Hamburg Hannover Hanoi Havana Helsinki Houston Innsbruck Istanbul
Izmir Jakarta Kigali Krakow Kyoto Lagos Lausanne Leeds Leipzig Lille Lima Limerick Lisbon
Liverpool Ljubljana London Luxembourg Lyon Madrid Malaga Malmo Manchester Manila Marseille
Melbourne Miami Milan Minsk Montreal Moscow Mumbai Munich Nairobi Nantes Naples Nice Nuremberg
Odense Odessa Oslo Ottawa Oxford Palermo Paris Perth Philadelphia Phoenix Porto Prague Quito
Reykjavik Riga Rome Rotterdam Salzburg Santiago Sarajevo Seattle Seoul Seville Shanghai Singapore
Sofia Stockholm Strasbourg Stuttgart Sydney Tallinn Tampere Tbilisi Tokyo Toronto Toulouse Trieste
Tromso Turin Turku Utrecht Valencia Vancouver Venice Verona Vienna Vilnius Warsaw Wroclaw York
Zagreb Zurich
""".split() + ["New York", "Los Angeles", "San Francisco", "Cape Town", "Buenos Aires",
               "Mexico City", "Hong Kong", "Tel Aviv", "Rio de Janeiro", "Sao Paulo",
               "Kuala Lumpur", "San Diego", "The Hague", "Salt Lake City", "New Delhi", "Las Vegas",
               "Saint Petersburg"]
PLACE_HEADS = """
Al Am Ar Ash Bar Bel Ben Ber Black Bor Bram Bran Bray Brook Bur Cal Car Cas Chel Clay Col Cor Cran
Cray Dal Dan Dar Del Den Dor Dun East El Elm Ex Fal Far Fen Fern Fin Ford Gar Gel Glen Gor Grim
Hal Ham Har Hart Hav Hazel Hel Hem Hol Hor Ids In Ivel Kel Ken Kil King Kir Lan Lang Lar Led Len
Lin Lock Lor Mal Man Mar Mel Mer Mid Mil Mon Mor Nar Nel Nether New Nor North Oak Ol Or Os Over
Pel Pen Per Pol Quar Rad Ram Raven Red Rin Ros Rud Sal San Sel Shel Sil Sol Stan Stav Ster Stock
Sul Tal Tam Tar Tel Thorn Tol Tor Tre Tur Ul Up Val Var Vel Ver Vin Wal War Wel Wen West Whit Wil
Win Wol Wood Wor Yar Zan Zel
""".split()
PLACE_MIDDLES = ["", "", "", "", "e", "a", "i", "o", "en", "er", "in", "ing", "is", "ling", "om",
                 "ber"]
PLACE_TAILS = """
bach berg borough bourne bridge brook burg burn bury by castle cester cliff combe cote dale den
don dorf down fall feld field ford gate grad hall ham hampton haven head hill holm horn hurst ia
kirk land leigh ley lin low mar mere minster moor mouth ness nor nova over pool port quay ridge
rock sea sel shaw shore side stad stead stein stoke stone stow tal thorpe ton vale vik ville wall
water well wick wood worth
""".split()
PLACE_PREFIXES = ["Port", "San", "Saint", "New", "Bad", "Lake", "Fort", "Mount", "Upper", "Lower",
                  "North", "South", "East", "West", "Great", "Little", "Santa", "Old"]

COLOURS = """
black white red blue green yellow grey brown silver golden orange purple beige clear dark light
""".split()
QUALITIES = """
steel wooden plastic rubber copper brass ceramic glass cotton leather paper aluminium nylon
titanium small large long short heavy thin wide round square flat folding wireless cordless spare
waterproof reusable magnetic digital portable double single mini industrial soft hard recycled
thermal
""".split()
GOODS = """
adapters batteries bearings belts bins blades blankets bolts bottles bowls boxes brackets brushes
buckets bulbs cables candles carpets casters chairs chargers chisels clamps clips clocks crates
cups curtains desks doormats drills dryers envelopes erasers fans fasteners filters folders forks
frames funnels fuses gaskets gloves goggles hammers handles headsets heaters helmets hinges hoses
jackets jars kettles keyboards knives knobs labels ladders lamps lenses lids lids locks magnets
markers masks mats mattresses mice microphones mirrors monitors mops mugs nails needles notebooks
nozzles nuts ovens paddles padlocks pads pallets pans pencils pens pillows pins pipes plates
pliers plugs pots printers pumps racks radios ratchets relays rings rivets rollers ropes rugs
rulers saws scales scanners scissors screens screws seals sensors shelves shovels sinks sockets
sofas spades spanners speakers spoons springs staplers stickers stools straps switches tables
tablets tapes taps tents tiles timers tongs towels trays tripods trolleys tubes tyres umbrellas
valves vases washers wedges wheels whistles wires wrenches zippers
""".split()
CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXZ"
WAREHOUSE_NAMES = """
north south east west central harbour airport main outlet riverside station depot uptown downtown
overflow returns reserve
""".split()


def digits(rng, n):
    """n digits, the first not 0."""
    return str(10 ** (n - 1) + int(rng.random() * 9 * 10 ** (n - 1)))


def letters(rng, n):
    return "".join(pick(rng, CODE_LETTERS) for _ in range(n))


def city(rng):
    x = rng.random()
    if x < 0.34:
        return pick(rng, REAL_CITIES)
    name = pick(rng, PLACE_HEADS) + pick(rng, PLACE_MIDDLES) + pick(rng, PLACE_TAILS)
    if x < 0.44:
        return f"{pick(rng, PLACE_PREFIXES)} {name}"
    return name


def code(rng):
    """An item code: AX-2041, BT 77, QW310K, ..."""
    x = rng.random()
    if x < 0.4:
        return f"{letters(rng, 1 + rng.randrange(3))}-{digits(rng, 2 + rng.randrange(4))}"
    if x < 0.6:
        return letters(rng, 2 + rng.randrange(2)) + digits(rng, 2 + rng.randrange(4))
    if x < 0.8:
        return f"{letters(rng, 2)}-{digits(rng, 3)}-{letters(rng, 1)}"
    return f"{digits(rng, 2)}-{digits(rng, 4)}"


def item(rng):
    x = rng.random()
    goods = pick(rng, GOODS)
    if x < 0.12:
        return goods
    if x < 0.34:
        return f"{pick(rng, QUALITIES)} {goods}"
    if x < 0.5:
        return f"{pick(rng, COLOURS)} {goods}"
    if x < 0.62:
        return f"{pick(rng, COLOURS)} {pick(rng, QUALITIES)} {goods}"
    if x < 0.7:
        return f"M{3 + rng.randrange(14)} {goods}"
    if x < 0.76:
        return f"{goods} {code(rng)}"
    return code(rng)


def warehouse(rng):
    x = rng.random()
    if x < 0.45:
        return city(rng)
    if x < 0.7:
        return pick(rng, WAREHOUSE_NAMES)
    if x < 0.85:
        return f"{letters(rng, 1)}{1 + rng.randrange(30)}"
    return str(1 + rng.randrange(40))


def order_id(rng):
    x = rng.random()
    if x < 0.3:
        return digits(rng, 4 + rng.randrange(5))
    if x < 0.55:
        return f"{letters(rng, 1 + rng.randrange(2))}-{digits(rng, 3 + rng.randrange(4))}"
    if x < 0.7:
        return letters(rng, 1 + rng.randrange(3)) + digits(rng, 4 + rng.randrange(3))
    if x < 0.85:
        return f"{pick(rng, ('ORD', 'PO', 'SO', 'WEB', 'INV', 'REF'))}-{digits(rng, 4)}"
    if x < 0.93:
        return f"20{20 + rng.randrange(8)}-{digits(rng, 4 + rng.randrange(2))}"
    return f"{digits(rng, 3)}-{digits(rng, 4)}-{letters(rng, 1)}"


# code -> how people write it, most usual first
CURRENCIES = {
    "EUR": ("euros", "euro", "EUR", "eur", "EUR"),
    "USD": ("dollars", "US dollars", "USD", "usd", "USD", "American dollars", "bucks"),
    "GBP": ("pounds", "British pounds", "GBP", "gbp", "pounds sterling", "sterling"),
    "JPY": ("yen", "Japanese yen", "JPY", "jpy"),
    "CHF": ("francs", "Swiss francs", "CHF", "chf"),
    "SEK": ("Swedish kronor", "SEK", "Swedish crowns", "sek"),
    "NOK": ("Norwegian kroner", "NOK", "Norwegian crowns", "nok"),
    "DKK": ("Danish kroner", "DKK", "Danish crowns", "dkk"),
    "PLN": ("zloty", "Polish zloty", "PLN", "pln"),
    "CZK": ("Czech crowns", "Czech koruna", "CZK", "czk"),
    "HUF": ("forint", "Hungarian forint", "HUF", "huf"),
    "CAD": ("Canadian dollars", "CAD", "cad"),
    "AUD": ("Australian dollars", "AUD", "aud"),
    "NZD": ("New Zealand dollars", "NZD", "nzd"),
    "CNY": ("yuan", "Chinese yuan", "CNY", "cny"),
    "INR": ("rupees", "Indian rupees", "INR", "inr"),
    "BRL": ("reais", "Brazilian reais", "BRL", "brl"),
    "MXN": ("Mexican pesos", "MXN", "mxn"),
    "ZAR": ("rand", "South African rand", "ZAR", "zar"),
    "KRW": ("won", "Korean won", "KRW", "krw"),
    "TRY": ("Turkish lira", "TRY", "lira", "try"),
    "SGD": ("Singapore dollars", "SGD", "sgd"),
}
COMMON_CURRENCIES = ("EUR", "USD", "GBP", "JPY", "CHF")


def currency(rng):
    """(code, as written)"""
    known = COMMON_CURRENCIES if rng.random() < 0.6 else tuple(CURRENCIES)
    name = pick(rng, known)
    return name, name if rng.random() < 0.3 else pick(rng, CURRENCIES[name])


def amount(rng):
    """(a number, as written)"""
    x = rng.random()
    if x < 0.3:
        value = 1 + rng.randrange(99)
    elif x < 0.65:
        value = 10 * (1 + rng.randrange(500))
    elif x < 0.8:
        value = 100 + rng.randrange(9900)
    elif x < 0.9:
        value = (100 + rng.randrange(99900)) / 100
    else:
        value = 1000 * (1 + rng.randrange(200))
    text = str(value)
    if value >= 1000 and rng.random() < 0.3:
        text = f"{value:,}"
    return value, text
