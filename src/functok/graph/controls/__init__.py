"""What degree and coverage are held against: is it frequency, slot, or class?"""
