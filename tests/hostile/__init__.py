"""A corpus of broken input: good sources of every format in which one thing is damaged, made anew for every test.

    kit.py        what a kit is: it writes a good source of one format, record by record
    kits.py       one kit per format and layout, after the golden folders
    pictures.py   images that are none, bombs, special files
    values.py     JSON values, names of images and labels that nobody expects
    damage.py     what is done to every kit: bytes, whole files, images, names, labels, JSON fields
    special.py    what only one format can suffer: entities, Parquet and LMDB pages, formula lists, quotes of CSV
    harness.py    converts one damaged source and looks whether anything was lost, left behind or given away
    hub.py        the same idea for the JSONL of the hub, which the other verbs read

Everything is drawn from seeds: the same case has the same bytes everywhere.
"""
