"""Training runs that test the cause: arms that differ in what they are trained on, and in no more.

``arm`` declares them, ``drops`` says which targets an arm leaves out, ``watching`` what plain
training spends on each target, ``outcomes`` what a trained arm is measured by, and ``effects``
compares arms over seeds.
"""
