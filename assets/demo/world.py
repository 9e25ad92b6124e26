"""The words of the workshop's world: stones, cuts, ways of sending, customers and cities, real and invented."""

from random import Random

STONES: dict[str, tuple[str, tuple[str, ...]]] = {
    "sapphire": ("sapphires", ("blue", "pink", "yellow")),
    "ruby": ("rubies", ("red", "pink")),
    "emerald": ("emeralds", ("green",)),
    "topaz": ("topazes", ("blue", "golden", "clear")),
    "garnet": ("garnets", ("red", "green", "orange")),
    "opal": ("opals", ("white", "black", "orange")),
    "amethyst": ("amethysts", ("violet",)),
    "pearl": ("pearls", ("white", "black", "pink", "golden")),
    "diamond": ("diamonds", ("clear", "yellow", "pink")),
    "spinel": ("spinels", ("red", "blue", "violet")),
    "jade": ("jades", ("green", "white")),
    "citrine": ("citrines", ("yellow", "orange")),
    "peridot": ("peridots", ("green",)),
    "tourmaline": ("tourmalines", ("pink", "green", "black")),
    "moonstone": ("moonstones", ("white", "blue")),
    "zircon": ("zircons", ("clear", "blue", "golden")),
}
"""Each stone's plural and the colours the house stocks."""

CUTS: tuple[str, ...] = ("oval", "round", "cushion", "pear", "princess", "marquise", "heart", "baguette", "cabochon")
WAYS: tuple[str, ...] = ("courier", "post", "train", "ship", "bicycle", "pigeon", "airmail", "mule")

_NAMES = """
Ana Ben Clara David Elena Felix Greta Hugo Iris Jonas Karin Leo Maria Nils Olga Pedro Quinn Rosa Sven Tara
Umar Vera Walter Xenia Yusuf Zara Amir Bella Carlos Daria Emil Fatima Georg Hanna Ivan Julia Kofi Laila Marco Nadia
Oscar Paula Rafael Sofia Tomas Ursula Viktor Wanda Yara Zeno Aisha Bruno Chiara Diego Esther Farid Gloria Hassan
Ingrid Jamal Kenji Lucia Mateo Noor Otto Priya Ramon Selma Tariq Ulrich Valerie Wei Yuki Zoltan Agnes Boris Celia
Dmitri Edith Franz Gita Henrik Ilse Jorge Katja Lars Mina Nico Oriol Pia Ravi Stella Tilda Vito Wilma Yannis
"""
_CITIES = """
Oslo Lisbon Paris Madrid Vienna Prague Berlin Geneva Athens Cairo Tunis Dakar Lagos Nairobi Accra Lima Quito
Bogota Havana Boston Denver Austin Toronto Quebec Tokyo Osaka Kyoto Seoul Hanoi Manila Jakarta Delhi Mumbai Jaipur
Colombo Sydney Perth Dublin Cork Bergen Malmo Turku Riga Tallinn Vilnius Warsaw Gdansk Krakow Zagreb Split Skopje
Plovdiv Varna Bari Turin Genoa Naples Palermo Seville Bilbao Porto Lyon Nantes Lille Ghent Bruges Antwerp Utrecht
Bremen Dresden Leipzig Munich Basel Zurich Graz Linz Izmir Ankara Beirut Amman Muscat Doha Tbilisi Yerevan Almaty
Kabul Lahore Karachi Dhaka Yangon Penang Cebu Darwin Suva Apia Ushuaia Santiago Recife Salvador
"""
NAMES = tuple(_NAMES.split())
CITIES = tuple(_CITIES.split())

_ONSETS = (*"bcdfghjklmnprstvwz", "br", "dr", "gr", "kr", "st", "tr", "bl", "ch", "sh", "th")
_VOWELS = (*"aeiou", "ai", "ea", "ou")
_CODAS = ("", "", "", "n", "r", "l", "s", "m", "nd", "rt")


def invent_name(rng: Random) -> str:
    """Return a capitalised name of two or three random syllables, so that a reader must copy and cannot recall."""
    syllables = (rng.choice(_ONSETS) + rng.choice(_VOWELS) + rng.choice(_CODAS) for _ in range(rng.choice((2, 2, 3))))
    return "".join(syllables).capitalize()
