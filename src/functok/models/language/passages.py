"""Plain English on which a model is tried where no corpus is at hand (``row_start.py``)."""

PASSAGES = (
    "The harbour was quiet in the early morning. A single fishing boat moved out past the "
    "lighthouse, and the gulls that followed it could be heard from the windows of the hotel.",
    "Water freezes at zero degrees Celsius at sea level. When salt is dissolved in it, the "
    "freezing point is lower, which is why roads are salted in winter before snow is expected.",
    "She had promised to write every week, but the letters came less and less often, and by the "
    "end of the year her brother had stopped waiting for the postman.",
    "The committee will meet on Tuesday to discuss the budget for the next year. Members who "
    "cannot attend are asked to send their comments to the secretary before noon on Monday.",
    "To make the dough, mix the flour with a little salt, add the water slowly, and knead it for "
    "ten minutes. Cover the bowl with a cloth and leave it in a warm place for an hour.",
    "The railway reached the town in the middle of the nineteenth century. Within a generation the "
    "population had doubled, and most families worked in the mills along the river.",
    "“Where did you put the keys?” he asked. “On the table, where they always are,” she said, "
    "without looking up from her book. He went back to the kitchen and found them there.",
    "Plants take in carbon dioxide through small openings in their leaves. With the energy of "
    "sunlight they turn it into sugar, and oxygen is given off in the process.",
    "A contract is an agreement that can be enforced by law. Both sides must have something to "
    "gain from it, and each must know what it is that the other has promised to do.",
    "The first game ended in a draw after the home side missed a penalty in the last minute. The "
    "manager said that his players were tired but that he was proud of how they had defended.",
    "Choose a password that is long and that you do not use anywhere else. If you think that "
    "someone may know it, change it at once and check which devices are signed in.",
    "The old bridge is closed to traffic while the arches are repaired. Visitors can still cross "
    "on foot, and a bus takes the longer road through the valley every half hour.",
    "Most stars are much older than the planets that we know best. Their light has travelled for "
    "many years before it reaches us, so what we see is how they were and not how they are.",
    "My grandfather kept bees at the end of the garden. In summer he would let us watch him open "
    "the hives, as long as we stood still and did not speak until he had closed them again.",
    "Prices rose more slowly in the third quarter than economists had expected. Food and energy "
    "became cheaper, while rents in the large cities continued to climb.",
    "The museum has three floors. The paintings are on the first, the collection of maps and coins "
    "is on the second, and from the roof there is a view of the whole city and the hills beyond.",
)
