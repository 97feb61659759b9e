"""Sets of words that stand for one thing each, chosen by hand; neurons of planted models respond to them.

Some are categories of things, others are of the kind that a dictionary has no name for: pronouns, verbs of
speech, words about heat.
"""

from __future__ import annotations

_LISTS = """
colours: red blue green yellow white black brown purple pink orange grey scarlet crimson
numbers: one two three four five six seven eight nine ten twelve twenty hundred thousand
months: january february march april june july august september october november december
days: monday tuesday wednesday thursday friday saturday sunday
family: father mother brother sister son daughter wife husband uncle aunt cousin grandfather
body: head hand foot arm leg shoulder knee neck finger chest elbow thumb hip ankle
face: eye nose mouth ear lip cheek chin forehead tongue tooth beard
organs: heart liver kidney lung stomach brain bladder intestine spleen bone muscle
mammals: horse dog cat cow sheep goat pig wolf bear lion fox deer elephant monkey rabbit
birds: eagle hawk owl duck goose crow sparrow pigeon swan parrot hen turkey
fish: salmon trout cod shark carp perch eel bass herring tuna
insects: bee ant wasp beetle butterfly moth fly mosquito spider locust
fruit: apple pear peach plum cherry grape lemon orange banana fig
vegetables: cabbage carrot onion potato bean pea tomato lettuce spinach turnip
trees: oak pine maple elm birch cedar willow palm ash beech spruce
flowers: rose lily tulip daisy violet orchid iris poppy
metals: iron copper zinc silver gold lead tin nickel aluminum mercury steel brass
chemicals: oxygen hydrogen nitrogen carbon sulfur chlorine sodium calcium potassium phosphorus
countries: france germany spain italy england russia china japan india egypt greece
nationalities: french german spanish italian english russian chinese japanese indian greek american british
cities: london paris rome boston chicago moscow berlin vienna athens venice
religions: christian jewish muslim catholic protestant hindu buddhist
clergy: bishop priest monk nun pope cardinal deacon abbot
professions: lawyer doctor teacher engineer nurse carpenter farmer soldier merchant baker
scientists: physicist chemist mathematician astronomer biologist botanist geologist philosopher
artists: painter composer poet novelist sculptor musician actor singer writer
instruments: piano violin flute guitar drum trumpet harp organ horn bell
clothes: shirt coat dress hat shoe skirt jacket trousers cloak boot glove
furniture: chair table bed desk bench sofa couch shelf stool
vehicles: car truck bus train wagon bicycle boat ship airplane cart
weapons: sword gun spear knife rifle pistol arrow bow bomb cannon
diseases: cancer malaria smallpox tuberculosis fever measles pneumonia influenza cholera plague
drinks: wine beer tea coffee milk whiskey brandy rum cider juice
feelings: anger fear joy sorrow love hate grief pride shame jealousy
sizes: large small big tiny huge enormous great vast little
heat: hot cold warm cool heat heated temperature chilly freezing
tastes: sweet bitter sour salty spicy flavor taste
weather: rain snow wind storm cloud thunder fog frost hail
buildings: house church castle palace temple barn hospital tower hotel theater
rooms: kitchen bedroom bathroom hall cellar attic chamber parlor
tools: hammer saw axe drill chisel spade shovel plow
sciences: physics chemistry biology mathematics geology botany astronomy psychology
soldiers: general colonel captain sergeant lieutenant major admiral officer private
royalty: king queen prince princess emperor duke earl lord baron
lengths: inch mile yard meter foot kilometer centimeter
times: second minute hour day week month year century decade
money: dollar pound shilling penny coin cent dinar rupee
sports: baseball football tennis golf basketball hockey soccer cricket boxing
games: chess poker bridge cards dice checkers bingo
law: court judge jury trial lawyer crime guilty prison verdict
crimes: murder theft robbery fraud arson treason burglary
shapes: circle square triangle sphere cube cone cylinder rectangle
fabrics: cotton silk wool linen velvet satin lace canvas
stones: diamond ruby emerald sapphire pearl opal jade quartz
motion: run walk jump climb crawl swim march hop
speech: say tell speak shout whisper talk cry utter
thought: think believe know suppose understand remember imagine guess
cooking: boil fry bake roast cook stew grill steam
cutting: cut slice chop carve trim split saw shear
modals: can could may might must shall should will would
pronouns: he she they we you it him her them us
possessives: his her their our your my its
prepositions: in on under above between through across behind beneath
questions: who what where when why which whose
often: always never often sometimes usually rarely frequently
quick: fast quick slow rapid swift speedy sudden
water: river lake sea ocean stream pond bay gulf creek
land: mountain hill valley plain desert island cliff plateau peninsula
sky: sun moon star planet comet earth venus mars jupiter saturn
directions: north south east west northern southern eastern western
plants: leaf stem root branch seed flower fruit bark bud
morning: morning evening night noon afternoon midnight dawn dusk
seasons: spring summer autumn winter
grain: wheat barley corn rice oats rye maize
meat: beef pork mutton ham bacon lamb veal sausage
bread: bread cake cheese butter sugar flour soup pie
reading: book page chapter novel poem magazine newspaper letter
good: good bad excellent poor fine evil wicked wonderful
beauty: beautiful ugly pretty lovely handsome attractive
age: old young ancient modern new aged
strength: strong weak powerful feeble mighty sturdy
truth: true false right wrong correct incorrect
size: length width height depth weight breadth thickness
church: altar pulpit chapel prayer sermon hymn worship
war: war battle army enemy troops attack siege victory
ships: mast sail deck anchor hull rudder keel
trade: buy sell sold bought price cost paid trade
stop: stop begin start end finish cease continue
sleep: sleep dream wake bed rest awake asleep
"""
SETS: dict[str, tuple[str, ...]] = {
    name: tuple(words.split())
    for name, _, words in (line.partition(": ") for line in _LISTS.strip().splitlines())
}
